# Wald tests of whole weight functions.
#
# With d = C b the coefficients of a difference, and V its covariance, the
# statistic is d' V^-1 d. Of free coefficients it is chi-squared.
#
# A penalised fit has chosen its smoothness from the data: a difference that is
# left then is left because it is large, and no test that takes the smoothing
# parameters as given is valid (in simulations under the null hypothesis it
# rejected far too often). So the tested coefficients get a penalty of their
# own, on roughness alone, that leaves them `df` effective degrees of freedom
# whatever the data say, and the quadratic model of the likelihood at the fit,
# which has information H, gives the estimate under it. With V the inverse of
# information plus penalty, d spreads by F = C V H V C' when it is zero, so the
# statistic d' (C V C')^-1 d is distributed as a sum of chi-squared variables of
# one degree of freedom, with the eigenvalues of (C V C')^-1 F as weights. Its
# tail is that of a non-central chi-squared variable with the same first
# moments.
#
# Sources: Wood (2013), Biometrika 100, 221-228 (such statistics); Liu, Tang and
# Zhang (2009), Computational Statistics and Data Analysis 53, 853-856 (the
# tail).

#' Tests of weight functions
#'
#' `zero_weights()`: is a weight function zero at all lags? Of
#' `exposure("a", with = "b")` that is the test of no interaction.
#' `equal_weights()`: are several weight functions the same? Those of the groups
#' of `exposure(by = )`, or of any terms with the same window and knots.
#'
#' Both are Wald tests of the coefficients. In a penalised fit (`wce(smooth
#' = )`) the smoothness that the data have chosen is not used for the tested
#' functions, as a test after that choice is not valid: they, or their
#' differences, have a penalty on roughness with `df` effective degrees of
#' freedom. The statistic is then a weighted sum of chi-squared variables, told
#' on the scale of the chi-squared distribution, with `df`, of the same mean and
#' variance; the p value is a closer approximation.
#' Other smooth terms have twice as many, so that what they cannot follow is not
#' laid on the tested ones.
#'
#' @param fit From [wce()] or one of its kin.
#' @param term `zero_weights()`: the label or the number of a term, as in
#'   [weight_function()], or the label of an exposure with `by` or `dose`, whose
#'   terms are then tested together. `equal_weights()`: the label of an exposure
#'   with `by`, needed when several have it; or the labels of two or more terms.
#' @param df Effective degrees of freedom of a penalised function, or of each
#'   difference: 4 is a line and some bending.
#' @return An object of class `htest`: chi-squared statistic, degrees of
#'   freedom, p value.
#' @section Errors: `vigitensor_error_unknown_term` when there is no such term,
#'   `vigitensor_error_several_terms` for terms whose bases differ;
#'   `vigitensor_error_smooth` for a penalised fit with a robust variance.
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
equal_weights <- function(fit, term = NULL, df = 4) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  parts <- if (length(term) > 1L) {
    fit$exposures[vapply(term, find_term, 0L, fit = fit)]
  } else {
    grouped_terms(fit, term)
  }
  check_same_basis(parts)
  labels <- vapply(parts, `[[`, "", "label")
  name <- parts[[1L]]$group %||% paste(labels, collapse = " and ")
  weights_test(fit, lapply(parts, `[[`, "index"), TRUE, df,
               "Wald test of equal weight functions", name)
}

#' @rdname equal_weights
#' @export
zero_weights <- function(fit, term = NULL, df = 4) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  own <- terms_called(fit, term)
  index <- unlist(lapply(fit$exposures[own], `[[`, "index"))
  name <- if (length(own) > 1L) term else exposure_labels(fit)[own]
  weights_test(fit, list(index), FALSE, df, "Wald test of no effect", name)
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

# index: of the coefficients of each term; equal: are they compared with the
# first, or each with zero?
weights_test <- function(fit, index, equal, df, method, name) {
  check_number(df, "df", 0.5)
  found <- if (is.null(fit$smoothing)) plain_wald(fit, index, equal) else
    penalised_wald(fit, index, equal, df)
  structure(
    list(statistic = c(`X-squared` = found$statistic),
         parameter = c(df = found$df), p.value = found$p, method = method,
         data.name = name),
    class = "htest"
  )
}

plain_wald <- function(fit, index, equal) {
  every <- diag(length(fit$coefficients))
  tested <- if (equal) index[-1L] else index
  contrast <- do.call(rbind, lapply(tested, function(i) {
    every[i, , drop = FALSE] - if (equal) every[index[[1L]], , drop = FALSE]
    else 0
  }))
  known <- !is.na(fit$coefficients)
  contrast <- contrast[rowSums(contrast[, !known, drop = FALSE] != 0) == 0,
                       known, drop = FALSE]
  gap <- drop(contrast %*% fit$coefficients[known])
  var <- contrast %*% fit$var[known, known] %*% t(contrast)
  statistic <- drop(gap %*% solve(var, gap))
  list(statistic = statistic, df = nrow(var),
       p = stats::pchisq(statistic, nrow(var), lower.tail = FALSE))
}

penalised_wald <- function(fit, index, equal, df) {
  if (!is.null(fit$naive.var)) {
    abort_input("Penalised fits with a robust variance have no such test.",
                i = "Use a fit of few knots, or `robust = FALSE`.",
                arg = "fit", code = "smooth")
  }
  p <- length(fit$coefficients)
  tested <- if (equal) index[-1L] else index
  # Differences from the first term take the place of the other terms.
  from <- diag(p)
  theta <- fit$smoothing$theta
  if (equal) {
    for (i in tested) from[cbind(i, index[[1L]])] <- 1
  }
  info <- crossprod(from, fit$smoothing$info %*% from)
  # The penalised score is zero at the fit.
  b <- ifelse(is.na(fit$coefficients), 0, fit$coefficients)
  score <- drop(crossprod(from, fit$smoothing$theta * b))
  b <- solve(from, b)
  # What the smoothing of the other terms takes away, the tested ones would take
  # on: they are held less.
  for (i in c(if (equal) index[1L], other_smooth(fit, index))) {
    theta[i] <- theta_of_df(fit, i, info, theta, 2 * df)
  }
  for (i in tested) theta[i] <- theta_of_df(fit, i, info, theta, df)
  kept <- !is.na(fit$coefficients)
  var <- penalised_inverse(info, theta, kept)
  b <- b + drop(var %*% (score - theta * b))
  own <- intersect(unlist(tested), which(kept))
  sampling <- (var %*% info %*% var)[own, own, drop = FALSE]
  weighted_wald(b[own], var[own, own, drop = FALSE], sampling)
}

# The coefficients of the smooth functions that are not tested.
other_smooth <- function(fit, index) {
  groups <- lapply(tied_terms(fit$exposures), function(members) {
    unlist(lapply(fit$exposures[members], `[[`, "index"))
  })
  other <- vapply(groups, function(i) !any(i %in% unlist(index)), NA)
  groups[other]
}

# The penalty on roughness, without the far end, that leaves the coefficients i
# so many effective degrees of freedom.
theta_of_df <- function(fit, i, info, theta, df) {
  member <- vapply(fit$exposures, function(e) all(e$index %in% i), NA)
  parts <- do.call(cbind, lapply(fit$exposures[member], `[[`, "parts"))
  parts <- parts[rownames(parts) != "far_end", , drop = FALSE]
  middle <- smoothing_range(parts, info[i, i, drop = FALSE])$middle
  shape <- colSums(exp(middle) * parts)
  kept <- !is.na(fit$coefficients)
  edf <- function(rho) {
    theta[i] <- exp(rho) * shape
    var <- penalised_inverse(info, theta, kept)
    sum((var %*% info)[cbind(i, i)]) - df
  }
  ends <- c(-25, 25)
  if (edf(ends[1L]) <= 0) return(exp(ends[1L]) * shape)
  if (edf(ends[2L]) >= 0) return(exp(ends[2L]) * shape)
  exp(stats::uniroot(edf, ends, tol = 1e-6)$root) * shape
}

# sampling: covariance of the gap when its mean is zero; var: of the statistic.
weighted_wald <- function(gap, var, sampling) {
  size <- sqrt(diag(var))
  root <- chol(var / tcrossprod(size))
  turned <- backsolve(root, gap / size, transpose = TRUE)
  half <- backsolve(root, sampling / tcrossprod(size), transpose = TRUE)
  shares <- backsolve(root, t(half), transpose = TRUE)
  weights <- pmax(eigen(shares, symmetric = TRUE, only.values = TRUE)$values, 0)
  statistic <- sum(turned^2)
  # Scaled so that its mean and variance are those of chi-squared with this df.
  list(statistic = statistic * sum(weights) / sum(weights^2),
       df = sum(weights)^2 / sum(weights^2),
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
