# Robust variance, Wald test and concordance of a fit of cox().

# When coxph takes the robust variance without being asked: groups given,
# weights that cannot be counts, people with several events. Value:
# list(robust, groups, of_concordance), the last two being codes or NULL.
robust_plan <- function(design, settings) {
  robust <- settings$robust
  y <- design$y
  cluster <- design$cluster
  has_cluster <- length(cluster) > 0L
  has_id <- length(design$id) > 0L
  wanted <- robust %||% (
    has_cluster || has_fractions(design$weights) ||
      has_id && anyDuplicated(design$id[surv_status(y) == 1]) > 0L
  )
  if (has_cluster && !wanted) {
    warn_user("`cluster` has no effect with `robust = FALSE`.",
              code = "cluster_ignored")
    return(list(robust = FALSE, groups = NULL, of_concordance = cluster))
  }
  if (wanted && settings$ties == "exact") {
    abort_input("There is no robust variance with exact ties.",
                i = "Use `robust = FALSE`, or `ties = \"efron\"`.",
                code = "robust")
  }
  groups <- if (has_cluster) group_codes(cluster) else if (wanted && has_id) {
    group_codes(design$id)
  } else if (wanted) {
    if (ncol(y) == 3L && !is.null(robust)) {
      abort_input(
        "`robust = TRUE` needs to know which rows belong together.",
        i = "Give `id` or `cluster`.", code = "cluster"
      )
    }
    seq_len(nrow(y))
  }
  list(robust = wanted, groups = groups, of_concordance = groups)
}

has_fractions <- function(weights) {
  !is.null(weights) && any(weights != floor(weights))
}

group_codes <- function(x) {
  if (is.factor(x)) return(dense_codes(x))
  match(x, unique(x))
}

wald_statistic <- function(var, b, tolerance) {
  survival::coxph.wtest(var, b, tolerance)$test
}

# The Wald test of all coefficients against their starting values.
wald_test <- function(coefficients, var, init, tolerance) {
  live <- !is.na(coefficients)
  b <- (coefficients - (init %||% 0))[live]
  wald_statistic(var[live, live], b, tolerance)
}

# Counts of pairs and their share, as coxph stores them.
cox_concordance <- function(rows, lp, groups) {
  found <- engine_cox_concordance(rows, lp, groups)
  c(stats::setNames(found$count, c("concordant", "discordant", "tied.x",
                                   "tied.y", "tied.xy")),
    concordance = found$concordance, std = sqrt(found$var))
}
