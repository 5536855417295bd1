# What a penalised fit chose.

#' How smooth a fit is
#'
#' @param fit A fitted model, from [wce()] with a `smooth`.
#' @return A data frame with a row per part of the penalty: `term`, `part`
#'   (`"roughness"`, `"far_end"` or `"dose"`), `lambda` (see [wce_smooth()]; a
#'   very large one means a straight line, nothing at the far end, or an effect
#'   in proportion to the dose) and `edf`, the effective degrees of freedom of
#'   the term; all columns of a [dose_spline()] are one.
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
  # The terms of a surface have one penalty.
  groups <- tied_terms(fit$exposures)
  first <- fit$exposures[vapply(groups, `[`, 0L, 1L)]
  parts <- lapply(first, function(e) rownames(e$parts))
  n_parts <- lengths(parts)
  edf <- vapply(groups, function(members) {
    index <- unlist(lapply(fit$exposures[members], `[[`, "index"))
    sum(found$edf[index])
  }, 0)
  labels <- vapply(first, function(e) e$tied %||% e$label, "")
  data.frame(term = rep(labels, n_parts),
             part = unlist(parts), lambda = found$lambda,
             edf = rep(edf, n_parts))
}
