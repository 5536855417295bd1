# Influence of single people: what a fit would be without them, to first order.
#
# Leaving out person i changes the coefficients by about -V U_i, U_i the sum of
# the person's weighted score residuals and V the inverse information. All that
# is linear in the coefficients changes with them. Source: Cain and Lange
# (1984), Biometrics 40, 493-499.

#' Influence of single people on a fit
#'
#' How much each person moves the coefficients, the weight function, or the
#' hazard ratio between two dose histories: the estimate with the person less
#' that without, to first order (a fit without the person differs from it by
#' terms of second order). All people cost about as much as one Newton step.
#'
#' Printing shows counts and sizes. Ids are in the object only: see
#' `as.data.frame()`.
#'
#' @param model A fitted model, from [wce()].
#' @param what `"coefficients"`; `"weight"`: the weight function of one exposure
#'   term; `"hazard_ratio"`: the log hazard ratio of `profile` against
#'   `reference`.
#' @param profile,reference,at One dose history each, as in [hazard_ratio()].
#' @param term Which exposure term, if there are several.
#' @param top How many people the table of the most influential has.
#' @inheritParams residuals.wce
#' @param ... Not used; a further argument is an error.
#' @return An object of class `wce_influence`, a list with
#'   \describe{
#'   \item{what, term}{as given;}
#'   \item{change}{with a row or element per person, named by id: the matrix of
#'     `"dfbeta"` residuals; for `"hazard_ratio"` the changes of the log hazard
#'     ratio; for `"weight"` a data frame of the largest change of the weight
#'     function (`change`) and its `lag`;}
#'   \item{size}{how large that is, per person: for the coefficients the
#'     likelihood displacement, about twice what the log-likelihood of the
#'     others gains by leaving the person out; otherwise the change in standard
#'     errors (for `"weight"` the largest over the lags);}
#'   \item{top}{a data frame of the most influential: `id`, `size`, `events`,
#'     and what changes;}
#'   \item{curves}{for `"weight"`: the weight function without each of these, as
#'     a data frame `id`, `lag`, `weight`, and the fitted one.}
#'   }
#' @seealso [residuals.wce()]
#' @importFrom stats influence
#' @export
#' @examples
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' influence(fit)
#' influence(fit, "hazard_ratio", profile = 1)
influence.wce <- function(model,
                          what = c("coefficients", "weight", "hazard_ratio"),
                          profile = NULL, reference = 0, at = NULL, term = NULL,
                          top = 10L, data = NULL, records = NULL, ...) {
  check_no_more(..., known = setdiff(names(formals(influence.wce)), "..."))
  what <- check_word(what, eval(formals(influence.wce)$what), "what")
  top <- check_integer(top, "top", 1)
  contrast <- if (what == "hazard_ratio") {
    history_contrast(model, profile, reference, at, term)
  } else if (!is.null(profile) || !is.null(at)) {
    abort_input("`profile` and `at` go with `what = \"hazard_ratio\"`.",
                arg = "profile", code = "profile")
  }
  if (what == "weight") exposure <- one_exposure(model, term)
  env <- parent.frame()
  if (is.null(model$model)) {
    problem <- fit_problem(model, data, records, env)
    found <- problem_scores(problem, TRUE, "subject")
  } else {
    problem <- rows_problem(model, data, records, env)
    found <- rows_scores(problem)
  }
  gone <- is.na(found$martingale)
  found$score[gone, ] <- 0
  var <- model_variance(model)
  dfbeta <- found$score
  dfbeta[] <- found$score %*% var
  result <- switch(what,
    coefficients = list(change = dfbeta, size = rowSums(dfbeta * found$score)),
    hazard_ratio = {
      change <- drop(dfbeta[, contrast$index, drop = FALSE] %*% contrast$c)
      list(change = change, size = abs(change) / contrast$se,
           term = contrast$term)
    },
    weight = weight_influence(model, exposure, dfbeta)
  )
  result <- c(list(what = what), result,
              list(n = sum(!gone), of = model$model$unit,
                   nevent = model$nevent, unit = model$unit,
                   df = n_estimated(model)))
  result$size <- stats::setNames(result$size, problem$ids)
  result$top <- top_people(result, found$events, top)
  if (what == "weight") {
    result$curves <- curves_without(exposure, model, dfbeta, result$top$id)
  }
  structure(result, class = "wce_influence")
}

# c'b is the log hazard ratio.
history_contrast <- function(fit, profile, reference, at, term) {
  if (is.null(profile)) {
    abort_input("`profile` is missing: the dose history of the hazard ratio.",
                arg = "profile", code = "profile")
  }
  ratio <- hazard_ratio(fit, profile, reference, at = at, term = term)
  if (nrow(ratio) != 1L) {
    abort_input("`profile` must be one history.",
                x = sprintf("It holds %d.", nrow(ratio)), arg = "profile",
                code = "profile")
  }
  exposure <- one_exposure(fit, term)
  difference <- compare_histories(exposure, profile, reference, at)$contrasts
  list(c = drop(difference), index = exposure$index, se = ratio$se,
       term = exposure$label)
}

# The largest change of the curve of each person, in portions: people x lags
# would be large.
weight_influence <- function(fit, exposure, dfbeta) {
  basis <- plain_basis(exposure)
  index <- exposure$index
  se <- sqrt(row_forms(basis, unname(fit$var)[index, index, drop = FALSE]))
  shown <- which(se > 0 & exposure$covered)
  n <- nrow(dfbeta)
  size <- change <- lag <- numeric(n)
  for (rows in in_portions(seq_len(n), rep(length(shown), n))) {
    moved <- dfbeta[rows, index, drop = FALSE] %*%
      t(basis[shown, , drop = FALSE])
    scaled <- abs(sweep(moved, 2L, se[shown], `/`))
    at <- max.col(scaled, ties.method = "first")
    pick <- cbind(seq_along(rows), at)
    size[rows] <- scaled[pick]
    change[rows] <- moved[pick]
    lag[rows] <- exposure$lags[shown][at]
  }
  list(change = data.frame(change = change, lag = lag,
                           row.names = make.unique(rownames(dfbeta))),
       size = size, term = exposure$label)
}

top_people <- function(result, events, top) {
  at <- utils::head(order(result$size, decreasing = TRUE), top)
  table <- data.frame(id = names(result$size)[at], size = unname(
    result$size[at]), events = events[at])
  extra <- if (is.null(dim(result$change))) {
    data.frame(change = unname(result$change[at]))
  } else {
    as.data.frame(result$change)[at, , drop = FALSE]
  }
  cbind(table, extra, row.names = NULL)
}

curves_without <- function(exposure, fit, dfbeta, ids) {
  basis <- plain_basis(exposure)
  b <- fit$coefficients[exposure$index]
  b[is.na(b)] <- 0
  rows <- match(ids, rownames(dfbeta))
  each <- lapply(c(NA, rows), function(i) {
    change <- if (is.na(i)) 0 else dfbeta[i, exposure$index]
    weight <- drop(basis %*% (b - change))
    weight[!exposure$covered] <- NA
    data.frame(id = if (is.na(i)) NA else rownames(dfbeta)[i],
               lag = exposure$lags, weight = weight)
  })
  do.call(rbind, each)
}

#' @rdname influence.wce
#' @param x An object of class `wce_influence`.
#' @export
print.wce_influence <- function(x, ...) {
  of <- switch(x$what, coefficients = "the coefficients", weight = paste0(
    "the weight function of ", x$term), hazard_ratio = paste0(
      "the log hazard ratio of a history of ", x$term))
  who <- function(n) {
    if (identical(x$of, "set")) count_of(n, "set") else
      count_of(n, "person", "people")
  }
  cat_wrapped("Influence of ", who(x$n), " on ", of)
  unit <- if (x$what == "coefficients") "Likelihood displacement" else
    "Change in standard errors"
  shares <- c(0.5, 0.9, 0.99, 1)
  sizes <- stats::quantile(x$size, shares, names = FALSE)
  cat_wrapped(unit, ": ", paste0(
    c("median ", "90% ", "99% ", "largest "), format_ratio(sizes),
    collapse = ", "), indent = 2L)
  limit <- 0.5
  cat_wrapped("Above ", limit, ": ",
              who(sum(x$size > limit)), indent = 2L)
  cat("Ids are in as.data.frame(x). Next: plot(x).\n")
  invisible(x)
}

#' @rdname influence.wce
#' @param row.names,optional Not used.
#' @export
as.data.frame.wce_influence <- function(x, row.names = NULL, optional = FALSE,
                                        ...) {
  x$top
}
