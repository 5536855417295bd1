# Wald tests of whole weight functions.
#
# With d = C b the coefficients of a difference, and V its covariance, the
# statistic is d' V^-1 d. Of free coefficients it is chi-squared.
# Of penalised ones d spreads less than the Bayesian V says, by F = C V H V C'
# (V the inverse of information plus penalty, H the information), so that the
# statistic is distributed as a sum of chi-squared variables of one degree of
# freedom with the eigenvalues of V^-1 F as weights: directions that the penalty
# holds weigh next to nothing. Its tail is that of a non-central chi-squared
# variable with the same first moments.
#
# Sources: Wood (2013), Biometrika 100, 221-228 (tests with the Bayesian
# covariance); Liu, Tang and Zhang (2009), Computational Statistics and Data
# Analysis 53, 853-856 (the tail).

#' Tests of weight functions
#'
#' `zero_weights()`: is a weight function zero at all lags? Of
#' `exposure("a", with = "b")` that is the test of no interaction.
#' `equal_weights()`: are several weight functions the same? Those of the groups
#' of `exposure(by = )`, or of any terms with the same window and knots.
#'
#' Both are Wald tests of the coefficients. In a penalised fit (`wce(smooth =
#' )`) the statistic uses the Bayesian covariance, and its reference
#' distribution is that of the penalised coefficients: a weighted sum of
#' chi-squared variables, so that `df` is an effective number. This takes the
#' smoothing parameters as known, and what is smoothed away under the null
#' hypothesis as nothing: exactly so for a weight function of zero; for equal
#' ones if the penalty bends them alike, so that groups of very different size
#' need care. See [exposure()] for an interaction as a term of its own, which
#' has not this problem.
#'
#' @param fit From [wce()] or one of its kin.
#' @param term `zero_weights()`: the label or the number of a term, as in
#'   [weight_function()], or the label of an exposure with `by` or `dose`, whose
#'   terms are then tested together. `equal_weights()`: the label of an exposure
#'   with `by`, needed when several have it; or the labels of two or more terms.
#' @return An object of class `htest`: chi-squared statistic, degrees of
#'   freedom, p value.
#' @section Errors: `vigitensor_error_unknown_term` when there is no such term,
#'   `vigitensor_error_several_terms` for terms whose bases differ.
#' @references Wood SN (2013). On p-values for smooth components of an extended
#'   generalized additive model. Biometrika 100(1), 221-228.
#'   \doi{10.1093/biomet/ass048}
#' @export
#' @examples
#' sim <- simulate_wce(300, days = 200, cutoff = 60, hazard = 4e-3, seed = 1)
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + exposure("drug", by = sex),
#'   data = sim$people, id = person_id, records = sim$records, cutoff = 60,
#'   nknots = 0, constrained = "right", engine = "reference"
#' )
#' equal_weights(fit)
#' zero_weights(fit, term = 1)
equal_weights <- function(fit, term = NULL) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  parts <- if (length(term) > 1L) {
    fit$exposures[vapply(term, find_term, 0L, fit = fit)]
  } else {
    grouped_terms(fit, term)
  }
  check_same_basis(parts)
  index <- lapply(parts, `[[`, "index")
  first <- diag(length(fit$coefficients))[index[[1L]], , drop = FALSE]
  contrast <- do.call(rbind, lapply(index[-1L], function(other) {
    rows <- -first
    rows[cbind(seq_along(other), other)] <- 1
    rows
  }))
  labels <- vapply(parts, `[[`, "", "label")
  weights_test(fit, contrast, "Wald test of equal weight functions",
            parts[[1L]]$group %||% paste(labels, collapse = " and "))
}

#' @rdname equal_weights
#' @export
zero_weights <- function(fit, term = NULL) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  own <- terms_called(fit, term)
  index <- unlist(lapply(fit$exposures[own], `[[`, "index"))
  contrast <- diag(length(fit$coefficients))[index, , drop = FALSE]
  labels <- exposure_labels(fit)[own]
  weights_test(fit, contrast, "Wald test of no effect",
            if (length(own) > 1L) term else labels)
}

# The numbers of the terms that `term` means: one, or those of a group.
terms_called <- function(fit, term) {
  if (is.null(term) && length(fit$exposures) == 1L) return(1L)
  if (rlang::is_string(term)) {
    member <- function(e) term %in% c(e$group, e$surface)
    together <- which(vapply(fit$exposures, member, NA))
    if (length(together)) return(together)
  }
  if (is.null(term)) {
    abort_input("`term` must name one exposure.",
                x = sprintf("They are %s.",
                            format_list(exposure_labels(fit))),
                arg = "term", code = "unknown_term")
  }
  find_term(fit, term)
}

grouped_terms <- function(fit, term) {
  groups <- vapply(fit$exposures, function(e) {
    if (is.null(e$response)) e$group %||% NA_character_ else NA_character_
  }, "")
  found <- unique(groups[!is.na(groups)])
  chosen <- if (is.null(term)) found else intersect(term, found)
  if (length(chosen) != 1L) {
    abort_input("`term` must name one exposure with `by = `, or several terms.",
                x = if (length(found)) sprintf("With `by` there are %s.",
                                               format_list(found)) else
                  "No exposure of this model has `by`.",
                code = "unknown_term", arg = "term")
  }
  fit$exposures[which(groups == chosen)]
}

check_same_basis <- function(parts) {
  first <- parts[[1L]]
  same <- vapply(parts, function(e) {
    identical(e$lags, first$lags) &&
      same_basis_matrix(plain_basis(e), plain_basis(first)) &&
      identical(e$response$call, first$response$call)
  }, NA)
  if (all(same)) return(invisible())
  abort_input("Terms are compared that have the same window and knots.",
              x = "These differ.", arg = "term", code = "several_terms")
}

# contrast: rows of differences by coefficients.
weights_test <- function(fit, contrast, method, name) {
  known <- !is.na(fit$coefficients)
  contrast <- contrast[rowSums(contrast[, !known, drop = FALSE] != 0) == 0,
                       known, drop = FALSE]
  gap <- drop(contrast %*% fit$coefficients[known])
  spread <- function(v) contrast %*% v[known, known] %*% t(contrast)
  var <- spread(fit$var)
  if (is.null(fit$smoothing)) {
    statistic <- drop(gap %*% solve(var, gap))
    df <- nrow(var)
    p <- stats::pchisq(statistic, df, lower.tail = FALSE)
  } else {
    sampling <- fit$smoothing$frequentist
    # A robust variance has its own in the place of the model's.
    if (!is.null(fit$naive.var)) sampling <- sampling + fit$var - fit$naive.var
    found <- penalised_wald(gap, var, spread(sampling))
    statistic <- found$statistic
    df <- found$df
    p <- found$p
  }
  structure(
    list(statistic = c(`X-squared` = statistic), parameter = c(df = df),
         p.value = p, method = method, data.name = name),
    class = "htest"
  )
}

# sampling: covariance of the gap; var: that of the statistic.
penalised_wald <- function(gap, var, sampling) {
  size <- sqrt(diag(var))
  root <- chol(var / tcrossprod(size))
  turned <- backsolve(root, gap / size, transpose = TRUE)
  half <- backsolve(root, sampling / tcrossprod(size), transpose = TRUE)
  shares <- backsolve(root, t(half), transpose = TRUE)
  weights <- eigen(shares, symmetric = TRUE, only.values = TRUE)$values
  weights <- pmax(weights, 0)
  statistic <- sum(turned^2)
  # All of it is smoothed away.
  if (sum(weights) < 1e-4) return(list(statistic = statistic, df = 0, p = 1))
  list(statistic = statistic, df = sum(weights)^2 / sum(weights^2),
       p = weighted_chisq_tail(statistic, weights))
}

# P(sum of weights * chi-squared_1 > x).
weighted_chisq_tail <- function(x, weights) {
  c <- vapply(1:4, function(k) sum(weights^k), 0)
  skew <- c[3L] / c[2L]^1.5
  peak <- c[4L] / c[2L]^2
  if (skew^2 > peak) {
    a <- 1 / (skew - sqrt(skew^2 - peak))
    ncp <- skew * a^3 - a^2
    df <- a^2 - 2 * ncp
  } else {
    a <- 1 / skew
    ncp <- 0
    df <- a^2
  }
  scaled <- (x - c[1L]) / sqrt(2 * c[2L])
  stats::pchisq(scaled * sqrt(2) * a + df + ncp, df, ncp, lower.tail = FALSE)
}
