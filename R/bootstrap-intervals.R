# Intervals from replicates: of coefficients here, of curves and hazard ratios
# in wce-bootstrap-effects.R.
#
# With t the estimate, t_b its replicates and G their distribution function:
#   percentile  quantiles a and 1 - a of t_b, a = (1 - level) / 2
#   bca         quantiles Phi(z0 + (z0 + z) / (1 - acc (z0 + z))) for z the
#               normal quantiles of a and 1 - a, with z0 = Phi^-1(share of t_b
#               below t) and acc = sum U^3 / (6 (sum U^2)^(3/2)), U the
#               influence of a unit on t
#   normal      t -+ z * sd(t_b)
# Sources: Efron (1987), Journal of the American Statistical Association 82,
# 171; Davison and Hinkley (1997), sections 5.3 and 5.4. The acceleration is
# that of empirical influence values, so no jackknife is needed.

interval_types <- c("percentile", "bca", "normal")

# estimate: k numbers; t: B x k, no missing values; acceleration: k numbers, for
# "bca". Value: k x 2.
bootstrap_interval <- function(estimate, t, level, type, acceleration = NULL) {
  if (type == "normal") {
    reach <- stats::qnorm((1 + level) / 2) * column_sd(t)
    return(cbind(lower = estimate - reach, upper = estimate + reach))
  }
  at <- matrix(c(1 - level, 1 + level) / 2, length(estimate), 2L, byrow = TRUE)
  if (type == "bca") {
    below <- colMeans(t < rep(estimate, each = nrow(t)))
    at <- bca_shares(below, acceleration, level)
  }
  ends <- vapply(seq_along(estimate), function(k) {
    column <- t[, k]
    if (is.na(estimate[k])) return(c(NA_real_, NA_real_))
    # Fixed by a constraint: known exactly, whatever z0 is.
    if (all(column == estimate[k])) return(rep(estimate[k], 2L))
    # All replicates on one side of the estimate: no correction is that large.
    if (anyNA(at[k, ]) || any(at[k, ] == 0 | at[k, ] == 1)) {
      return(c(NA_real_, NA_real_))
    }
    stats::quantile(column, at[k, ], names = FALSE, type = 6L)
  }, c(0, 0))
  ends <- matrix(ends, ncol = 2L, byrow = TRUE)
  colnames(ends) <- c("lower", "upper")
  ends
}

# The shares of replicates below the ends; below: the share below the estimate.
bca_shares <- function(below, acceleration, level) {
  z <- stats::qnorm((1 + level) / 2)
  z0 <- stats::qnorm(below)
  move <- function(z) {
    stats::pnorm(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
  }
  cbind(move(-z), move(z))
}

column_sd <- function(t) {
  if (nrow(t) < 2L) return(rep(NA_real_, ncol(t)))
  centred <- t - rep(colMeans(t), each = nrow(t))
  sqrt(colSums(centred^2) / (nrow(t) - 1))
}

acceleration_of <- function(squares, cubes) {
  ifelse(squares > 0, cubes / (6 * squares^1.5), 0)
}

# Of the contrasts c'b, the rows of `contrasts`, over one block of coefficients.
contrast_acceleration <- function(influence, block, at, contrasts) {
  squares <- rowSums((contrasts %*% influence$squares[at, at, drop = FALSE]) *
                       contrasts)
  cubes <- influence$blocks[[block]]
  p <- length(at)
  # c'(sum over k of c_k cubes[, , k])c, contrast by contrast.
  flat <- matrix(cubes, p * p, p)
  third <- vapply(seq_len(nrow(contrasts)), function(r) {
    c_r <- contrasts[r, ]
    sum(tcrossprod(c_r) * matrix(flat %*% c_r, p, p))
  }, 0)
  acceleration_of(squares, third)
}

# ---- methods ----------------------------------------------------------------

#' Intervals of coefficients from a bootstrap
#'
#' `confint()` of the result of [bootstrap()], with `type`
#' * `"percentile"`: quantiles of the replicates ([stats::quantile()] of type
#'   6);
#' * `"bca"`: bias-corrected and accelerated, which also corrects for a median
#'   of the replicates off the estimate and for a standard error that changes
#'   with the parameter. The acceleration is computed from the influence of
#'   every patient on the fit (score residuals times the inverse information),
#'   not from fits without each of them;
#' * `"normal"`: the estimate and its standard deviation over the replicates.
#'
#' Percentile intervals need a few hundred replicates, BCa intervals 1,000 or
#' more. Replicates that failed are left out.
#'
#' With `reselect = TRUE` replicates have different splines, so there are
#' intervals for the coefficients of covariates alone; [weight_function()],
#' [hazard_ratio()] and [total_effect()] give those of the exposure.
#'
#' @param object,x The result of [bootstrap()].
#' @param parm Coefficients, by name or number; all by default.
#' @param level Confidence level.
#' @param type `"percentile"`, `"bca"` or `"normal"`.
#' @param ... Not used.
#' @return
#' * `confint`: a matrix with columns named by their percentages, as
#'   [stats::confint()] has them.
#' * `vcov`: the covariance of the replicates.
#' * `coef`: the estimates of the fit.
#' * `summary`: a matrix of class `summary.bootstrap_fit`: `estimate`, `bias`
#'   (mean of the replicates less the estimate), `se`, `lower`, `upper`.
#' @name bootstrap_fit
#' @seealso [bootstrap()], with an example.
NULL

#' @rdname bootstrap_fit
#' @importFrom stats confint
#' @export
confint.bootstrap_fit <- function(object, parm = NULL, level = 0.95,
                                  type = "percentile", ...) {
  check_level(level)
  type <- check_word(type, interval_types, "type")
  at <- coefficient_positions(object, parm)
  ends <- bootstrap_interval(
    coef(object)[at], good_replicates(object)[, at, drop = FALSE], level, type,
    if (type == "bca") coefficient_acceleration(object)[at]
  )
  dimnames(ends) <- list(
    names(coef(object))[at],
    paste(format(100 * c(1 - level, 1 + level) / 2, trim = TRUE, digits = 3),
          "%")
  )
  ends[is.na(coef(object)[at]), ] <- NA
  ends
}

coefficient_acceleration <- function(object) {
  if (is.null(object$influence)) {
    abort_input("There are no BCa intervals for this bootstrap.",
                x = paste("They need the influence of every unit, which fits",
                          "with exact ties or by `coxph()` do not have."),
                i = "Use `type = \"percentile\"`.", arg = "type",
                code = "no_influence")
  }
  at <- seq_along(coef(object))
  acceleration_of(diag(object$influence$squares)[at],
                  object$influence$cubes[at])
}

#' @rdname bootstrap_fit
#' @export
vcov.bootstrap_fit <- function(object, ...) {
  at <- seq_along(coef(object))
  t <- good_replicates(object)[, at, drop = FALSE]
  var <- crossprod(t - rep(colMeans(t), each = nrow(t))) / (nrow(t) - 1)
  dropped <- is.na(coef(object))
  var[dropped, ] <- NA
  var[, dropped] <- NA
  dimnames(var) <- list(names(coef(object)), names(coef(object)))
  var
}

#' @rdname bootstrap_fit
#' @importFrom stats coef
#' @export
coef.bootstrap_fit <- function(object, ...) {
  object$fit$coefficients[covered_coefficients(object)]
}

# With reselection splines differ: covariates alone have one meaning.
covered_coefficients <- function(object) {
  n <- length(object$fit$coefficients)
  if (!isTRUE(object$reselect)) return(seq_len(n))
  seq_len(min(object$fit$exposures[[1L]]$index) - 1L)
}

# Replicates that did not fail; dropped coefficients count as zero.
good_replicates <- function(object) {
  t <- object$coefficients[object$converged, , drop = FALSE]
  if (nrow(t) < 2L) {
    abort_input("There are too few replicates for an interval.",
                x = sprintf("%d of %d did not fail.", nrow(t), object$times),
                code = "replicates_failed")
  }
  t[is.na(t)] <- 0
  t
}

coefficient_positions <- function(object, parm) {
  labels <- names(coef(object))
  if (is.null(parm)) return(seq_along(labels))
  at <- if (is.character(parm)) match(parm, labels) else if (
    is.numeric(parm)) match(parm, seq_along(labels)) else NA
  if (length(at) && !anyNA(at)) return(at)
  abort_input(
    "`parm` must name coefficients, or be their numbers.",
    x = if (isTRUE(object$reselect)) {
      "With `reselect = TRUE` those of exposures differ between replicates."
    },
    i = sprintf("There are %s.", format_list(paste0("`", labels, "`"))),
    arg = "parm", code = "parm"
  )
}

#' @rdname bootstrap_fit
#' @export
summary.bootstrap_fit <- function(object, level = 0.95, type = "percentile",
                                  ...) {
  ends <- confint(object, level = level, type = type)
  at <- seq_along(coef(object))
  t <- good_replicates(object)[, at, drop = FALSE]
  table <- cbind(estimate = coef(object), bias = colMeans(t) - coef(object),
                 se = column_sd(t), ends)
  colnames(table)[4:5] <- c("lower", "upper")
  table[is.na(coef(object)), ] <- NA
  structure(table, level = level, type = type, about = describe_bootstrap(
    object
  ), hidden = if (!is.null(object$fit$smoothing)) exposure_indices(object$fit),
  class = c("summary.bootstrap_fit", "matrix", "array"))
}

#' @export
print.summary.bootstrap_fit <- function(x, digits = 3L, ...) {
  cat(attr(x, "about"), sep = "\n")
  cat("\n")
  table <- unclass(x)
  attributes(table) <- attributes(x)[c("dim", "dimnames")]
  # Those of a penalised spline mean nothing one by one.
  hidden <- attr(x, "hidden")
  shown <- setdiff(seq_len(nrow(table)), hidden)
  if (length(shown)) {
    print(signif(table[shown, , drop = FALSE], digits), ...)
    cat(sprintf("Intervals: %s, %s.\n", format_level(attr(x, "level")),
                type_words[[attr(x, "type")]]))
  }
  if (length(hidden)) {
    cat("Next: weight_function() and hazard_ratio() of this bootstrap.\n")
  }
  invisible(x)
}

type_words <- c(percentile = "percentile", bca = "BCa", normal = "normal",
                wald = "Wald")

#' @rdname bootstrap_fit
#' @export
print.bootstrap_fit <- function(x, ...) {
  if (sum(x$converged) >= 2L) print(summary(x), ...) else {
    cat(describe_bootstrap(x), sep = "\n")
  }
  invisible(x)
}

describe_bootstrap <- function(x) {
  how <- c(fit = "each fitted to its optimum",
           one_step = "one Newton step each",
           influence = "by the influence of each")
  wrap <- function(...) strwrap(paste0(...), 80L)
  c(
    wrap("Bootstrap of ", if (inherits(x, "bootstrap_cox")) "a Cox model" else
      "a weighted cumulative exposure model"),
    wrap(count_of(x$times, paste(x$kind, "replicate")), " of ",
         format_count(x$n_units), " ", plural_of_unit(x$unit),
         if (!is.null(x$strata)) sprintf(" within strata of `%s`", x$strata),
         ", ", how[[x$method]], "; seed ",
         format(x$seed, scientific = FALSE, digits = 16), "."),
    if (length(x$failures)) {
      wrap(format_count(sum(x$failures)), " failed: ",
           describe_failures(x$failures), ".")
    },
    if (isTRUE(x$reselect)) reselected_words(x)
  )
}

plural_of_unit <- function(unit) {
  if (startsWith(unit, "cluster of")) sub("^cluster", "clusters", unit) else
    paste0(unit, "s")
}

reselected_words <- function(x) {
  selection <- x$fit$selection
  shares <- tabulate(x$row, nrow(selection)) / sum(!is.na(x$row))
  shown <- which(shares > 0)
  shown <- shown[order(-shares[shown])]
  # With several terms a number of knots reads "1+2".
  labels <- paste0(selection$nknots, " knot",
                   ifelse(selection$nknots == 1, "", "s"),
                   if (length(unique(selection$cutoff)) > 1L) {
                     paste0(" and cutoff ", selection$cutoff)
                   })
  rest <- length(shown) > 4L
  shown <- shown[seq_len(min(4L, length(shown)))]
  smooth <- if (!is.null(x$fit$smoothing)) {
    "Smoothing parameters chosen anew in each."
  }
  if (!is.null(smooth) && nrow(selection) == 1L) return(smooth)
  c(smooth, strwrap(paste0("Knots chosen anew in each: ", paste(sprintf(
    "%s in %s", labels[shown], format_level(round(shares[shown], 3))
  ), collapse = ", "), if (rest) ", ...", "."), 80L))
}
