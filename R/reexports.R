# Model formulas read the same whether survival is attached or not.

#' @importFrom survival Surv
#' @export
survival::Surv

#' @importFrom survival strata
#' @export
survival::strata

#' @importFrom survival cluster
#' @export
survival::cluster

#' @importFrom survival survfit
#' @export
survival::survfit
