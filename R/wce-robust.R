# Robust variance: people, or groups of people, as the units that are
# independent (Lin and Wei 1989, Journal of the American Statistical Association
# 84, 1074). With U_g the sum of the weighted score residuals of group g and V
# the inverse information, it is V (sum over g of U_g U_g') V.

# Value: the names of what coxph looks at when `robust` is not said, TRUE or
# FALSE.
decide_robust <- function(robust, design) {
  if (!is.null(robust) && !rlang::is_bool(robust)) {
    abort_input("`robust` must be TRUE, FALSE or NULL.",
                x = sprintf("It is %s.", what_is(robust)), arg = "robust",
                code = "robust")
  }
  has_cluster <- !is.null(design$cluster$label)
  if (is.null(robust)) {
    rows <- design$rows
    return(has_cluster || any(rows$weight != floor(rows$weight)) ||
             anyDuplicated(rows$subject[rows$event == 1]) > 0L)
  }
  if (has_cluster && !robust) {
    warn_user("`cluster()` has no effect with `robust = FALSE`.",
              code = "cluster_ignored")
  }
  robust
}

# fits: of the engine; tables: the bases of each. Value: the fits, with the
# robust variance as `var` and the model's as `naive.var`.
robust_fits <- function(fits, design, tables, ties, engine) {
  group <- design$cluster$group
  lapply(seq_along(fits), function(g) {
    fit <- fits[[g]]
    scores <- wce_scores_impl(design$rows, design$terms, tables[[g]],
                              fit$coefficients, ties, engine)
    total <- rowsum(scores$score, group, reorder = FALSE)
    fit$naive.var <- fit$var
    smooth <- fit$smoothing
    if (is.null(smooth)) {
      fit$var <- crossprod(total %*% fit$naive.var)
    } else {
      # In place of the part of the variance that comes from sampling.
      fit$var <- fit$naive.var - smooth$frequentist +
        crossprod(total %*% smooth$bayes)
    }
    fit
  })
}
