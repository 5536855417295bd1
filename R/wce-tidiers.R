# Tidy data frames of fitted models and of what they say (generics, broom).

#' Tidy summaries of a fitted model
#'
#' Methods for `tidy()`, `glance()` and `augment()` of the generics package,
#' which broom exports too: data frames with the usual column names.
#'
#' @param x A fitted model, from [wce()]; for `tidy()` also what
#'   [weight_function()], [hazard_ratio()] and [ph_check()] give.
#' @param conf.int If `TRUE`, columns `conf.low` and `conf.high` are added.
#' @param conf.level Confidence level of that interval.
#' @param exponentiate If `TRUE`, estimates and interval are hazard ratios
#'   (standard errors stay on the log scale, as in broom).
#' @param type.predict,type.residuals Which `type` of [predict.wce()] and
#'   [residuals.wce()] to add.
#' @param se_fit Add standard errors of the predictions?
#' @param newdata,newrecords New people for `augment()`, as in [predict.wce()];
#'   without them it is the data of the fit.
#' @inheritParams residuals.wce
#' @param ... Not used.
#' @return `tidy`: a data frame with one row per coefficient: `term`,
#'   `estimate`, `std.error`, with a robust variance `robust.se`, `statistic`,
#'   `p.value`. `glance`: a data frame of
#'   one row: `n` (rows), `n_subjects`, `nevent`, `nknots`, `statistic.log`,
#'   `p.value.log`, `df`, `logLik`, `AIC`, `BIC`, `nobs` (events). `augment`:
#'   the data, row by row, with columns `.fitted`, `.se.fit` (with `se_fit`)
#'   and, for the data of the fit, `.resid`. `tidy` of a weight function has a
#'   row per lag (`term`, `lag`, `estimate`, `std.error`, `conf.low`,
#'   `conf.high`), of hazard ratios one per history (`term`, `profile`, then the
#'   same, of the log hazard ratio or `exponentiate`d), of [ph_check()] one per
#'   test (`term`, `statistic`, `df`, `p.value`).
#' @name wce-tidiers
#' @examplesIf requireNamespace("generics", quietly = TRUE)
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = claims_people[1:200, ], id = person_id,
#'   records = claims_dispensings, cutoff = 90, nknots = 1,
#'   constrained = "right", engine = "reference"
#' )
#' generics::tidy(fit, conf.int = TRUE)
#' generics::glance(fit)
#' head(generics::tidy(weight_function(fit)), 3)
NULL

#' @rdname wce-tidiers
#' @exportS3Method generics::tidy
tidy.wce <- function(x, conf.int = FALSE, conf.level = 0.95,
                     exponentiate = FALSE, ...) {
  table <- coefficient_table(x)
  result <- data.frame(
    term = rownames(table) %||% character(), estimate = table[, "coef"],
    std.error = table[, "se(coef)"], row.names = NULL
  )
  se <- result$std.error
  if ("robust se" %in% colnames(table)) {
    result$robust.se <- se <- unname(table[, "robust se"])
  }
  result$statistic <- unname(table[, "z"])
  result$p.value <- unname(table[, "Pr(>|z|)"])
  if (conf.int) {
    check_level(conf.level, "conf.level")
    reach <- stats::qnorm((1 + conf.level) / 2) * se
    result$conf.low <- result$estimate - reach
    result$conf.high <- result$estimate + reach
  }
  if (exponentiate) {
    ratios <- intersect(names(result), c("estimate", "conf.low", "conf.high"))
    result[ratios] <- lapply(result[ratios], exp)
  }
  result
}

#' @rdname wce-tidiers
#' @exportS3Method generics::glance
glance.wce <- function(x, ...) {
  statistic <- 2 * diff(x$loglik)
  df <- n_estimated(x)
  selected <- which(x$selection$selected)[1L]
  data.frame(
    n = x$n_rows, n_subjects = x$n_subjects, nevent = x$nevent,
    nknots = x$selection$nknots[selected], statistic.log = statistic,
    p.value.log = stats::pchisq(statistic, df, lower.tail = FALSE), df = df,
    logLik = x$loglik[2L], AIC = stats::AIC(x), BIC = stats::BIC(x),
    nobs = x$nevent
  )
}

#' @rdname wce-tidiers
#' @exportS3Method generics::augment
augment.wce <- function(x, data = NULL, records = NULL, newdata = NULL,
                        newrecords = NULL, type.predict = "lp",
                        type.residuals = "martingale", se_fit = FALSE, ...) {
  env <- parent.frame()
  table <- newdata %||% data %||% look_up(x$call$data, env, "data")
  # Both look for the data where this call did.
  ask <- function(fun, ...) {
    do.call(fun, list(x, ..., data = data, records = records), quote = TRUE,
            envir = env)
  }
  fitted <- ask(predict.wce, newdata = newdata, newrecords = newrecords,
                type = type.predict, se.fit = se_fit)
  if (!se_fit) fitted <- list(fit = fitted)
  result <- as.data.frame(table)
  result$.fitted <- unname_column(fitted$fit)
  if (se_fit) result$.se.fit <- unname_column(fitted$se.fit)
  if (is.null(newdata)) {
    result$.resid <- unname_column(ask(residuals.wce, type = type.residuals,
                                       by = "row"))
  }
  result
}

unname_column <- function(x) {
  if (!is.matrix(x)) return(unname(x))
  matrix(x, nrow(x), dimnames = list(NULL, colnames(x)))
}

# Methods of a generic that is not imported, for classes with an underscore.
# nolint start: object_name_linter.

#' @rdname wce-tidiers
#' @exportS3Method generics::tidy
tidy.weight_function <- function(x, ...) {
  table <- as.data.frame(x)
  result <- data.frame(term = table$term %||% "exposure", lag = table$lag,
                       estimate = table$weight, std.error = table$se,
                       conf.low = table$lower, conf.high = table$upper)
  if (is.null(table$term)) result$term <- NULL
  result
}

#' @rdname wce-tidiers
#' @exportS3Method generics::tidy
tidy.hazard_ratio <- function(x, exponentiate = FALSE, ...) {
  table <- as.data.frame(x)
  form <- if (exponentiate) identity else log
  result <- data.frame(
    profile = table$profile,
    estimate = if (exponentiate) table$hr else table$log_hr,
    std.error = table$se, conf.low = form(table$lower),
    conf.high = form(table$upper)
  )
  term <- table$term %||% attr(x, "term")
  if (is.null(term)) result else cbind(term = term, result)
}

#' @rdname wce-tidiers
#' @exportS3Method generics::tidy
tidy.ph_check <- function(x, ...) {
  table <- x$table
  data.frame(term = rownames(table), statistic = unname(table[, "chisq"]),
             df = unname(table[, "df"]), p.value = unname(table[, "p"]))
}

# nolint end
