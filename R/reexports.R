#' Objects of the survival package, passed on
#'
#' [survival::Surv()], [survival::strata()] and [survival::cluster()] are the
#' same objects as in the survival package, so that model formulas read the
#' same whether survival is attached or not.
#'
#' @return See the survival package.
#' @name survival-reexports
#' @keywords internal
#' @examples
#' Surv(c(0, 0), c(3, 5), c(1, 0))
NULL

#' @rdname survival-reexports
#' @importFrom survival Surv
#' @export
survival::Surv

#' @rdname survival-reexports
#' @importFrom survival strata
#' @export
survival::strata

#' @rdname survival-reexports
#' @importFrom survival cluster
#' @export
survival::cluster
