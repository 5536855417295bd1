# What a penalised fit chose.

#' How smooth a fit is
#'
#' @param fit A fitted model, from [wce()] with a `smooth`.
#' @return A data frame with a row per part of the penalty: `term`, `part`
#'   (`"roughness"` or `"far_end"`), `lambda` (see [wce_smooth()]; a very large
#'   one means a straight line, or nothing at the far end) and `edf`, the
#'   effective degrees of freedom of the term.
#' @section Errors: `vigitensor_error_not_smooth` for a fit without a penalty.
#' @seealso [wce_smooth()]
#' @export
#' @examples
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 60, smooth = "reml",
#'   engine = "reference"
#' )
#' smoothness(fit)
smoothness <- function(fit) {
  check_is_wce(fit)
  found <- fit$smoothing
  if (is.null(found)) {
    abort_input("`fit` has no penalty.",
                i = "Fit it with `wce(smooth = \"reml\")`.", arg = "fit",
                code = "not_smooth")
  }
  parts <- lapply(fit$exposures, function(e) rownames(e$parts))
  n_parts <- lengths(parts)
  edf <- vapply(fit$exposures, function(e) sum(found$edf[e$index]), 0)
  data.frame(term = rep(exposure_labels(fit), n_parts),
             part = unlist(parts), lambda = found$lambda,
             edf = rep(edf, n_parts))
}
