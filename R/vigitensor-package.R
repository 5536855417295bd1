#' vigitensor: exposure-history survival models and symbolic matrices
#'
#' Start with [wce()] for a weighted cumulative exposure model,
#' [simulate_wce()] for data with a known truth, and [install_engine()] for
#' the fast engine. Scripts written for the WCE package run through [WCE()].
#'
#' @keywords internal
#' @useDynLib vigitensor, .registration = TRUE
#' @importFrom Rcpp evalCpp
"_PACKAGE"
