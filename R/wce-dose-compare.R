# One model with several functions of the dose.

#' Compare functions of the dose
#'
#' Fits a model again with each of several functions of the dose, on the same
#' events and with the same settings, so that their criteria compare. A family
#' with one parameter, such as thresholds, gives its profile likelihood.
#'
#' Degrees of freedom count a parameter that differs between the candidates of
#' one family, once. A threshold is no smooth parameter: its likelihood has
#' corners, and where the dose has no effect, any threshold does. So its
#' interval, of values whose log-likelihood is less than
#' \eqn{\chi^2_1(level) / 2} below the largest, is approximate, and as fine as
#' the grid. Standard errors of the chosen fit take the parameter as known.
#'
#' @param fit From [wce()] or one of its kin.
#' @param forms A list of what `exposure(dose = )` takes, [dose_forms] and the
#'   like; `NULL` in it is the dose as it is. Names, if any, are the labels.
#' @param term The drug or the column of doses, as written in [exposure()];
#'   needed when there are several.
#' @param criterion `"aic"` or `"bic"`.
#' @param level Of the interval of the parameter.
#' @param data,records `NULL`: those that the call of the fit names.
#' @return An object of class `dose_comparison`: `table` with a row per form
#'   (`form`, `value` of its parameter, `df`, `loglik`, `aic`, `bic`, `delta`
#'   of the criterion above the smallest, `inside`: is it in the interval of its
#'   family), `fits`, `best` (the fit with the smallest criterion), `criterion`
#'   and `level`.
#' @section Errors: `vigitensor_error_unknown_term`,
#'   `vigitensor_error_dose_basis`.
#' @seealso [dose_forms], [dose_response()]
#' @export
#' @examples
#' sim <- simulate_wce(100, days = 200, cutoff = 60, hazard = 9e-3, seed = 1)
#' records <- sim$records[!duplicated(sim$records$person_id), ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ exposure("drug"), data = sim$people,
#'   id = person_id, records = records, cutoff = 30, nknots = 0,
#'   constrained = "right", engine = "reference"
#' )
#' found <- compare_doses(fit, list(NULL, dose_cap(1)))
#' found
#' plot(found)
compare_doses <- function(fit, forms, term = NULL, criterion = "aic",
                          level = 0.95, data = NULL, records = NULL) {
  if (!inherits(fit, "wce")) stop_not_wce(fit)
  criterion <- check_word(criterion, c("aic", "bic"), "criterion")
  check_level(level)
  if (inherits(forms, "dose_basis") || is.function(forms)) forms <- list(forms)
  if (!is.list(forms) || length(forms) == 0L) {
    abort_input("`forms` must be a list of functions of the dose.",
                x = sprintf("It is %s.", what_is(forms)), arg = "forms",
                code = "dose_basis")
  }
  bases <- lapply(forms, function(one) {
    if (!is.null(one)) as_dose_basis(one, "forms")
  })
  env <- env_with_forms(parent.frame())
  if (!is.null(data)) env$data_given <- data
  if (!is.null(records)) env$records_given <- records
  fits <- lapply(seq_along(forms), function(k) {
    written <- bases[[k]]$call %||% forms[[k]]
    call <- fit$call
    call$formula <- with_dose(fit$formula, written, term, env)
    if (!is.null(data)) call$data <- quote(data_given)
    if (!is.null(records)) call$records <- quote(records_given)
    found <- eval(call, env)
    # As users would have written it, without an environment that holds data.
    for (name in c("data", "records")) found$call[[name]] <- fit$call[[name]]
    found$call$formula <- found$formula
    found
  })
  table <- dose_form_table(bases, fits, names(forms))
  best <- which.min(table[[criterion]])
  table$delta <- table[[criterion]] - table[[criterion]][best]
  top <- stats::ave(table$loglik, table$form, FUN = max)
  table$inside <- table$loglik >= top - stats::qchisq(level, 1) / 2
  table$inside[is.na(table$value)] <- NA
  structure(list(table = table, fits = fits, best = fits[[best]],
                 criterion = criterion, level = level),
            class = "dose_comparison")
}

dose_form_table <- function(bases, fits, labels) {
  form <- vapply(bases, function(b) {
    if (is.null(b$value)) dose_form_label(b) else b$form
  }, "")
  value <- vapply(bases, function(b) b$value %||% NA_real_, 0)
  if (!is.null(labels)) form <- ifelse(nzchar(labels), labels, form)
  # The parameter of a family is chosen when there are several of it.
  chosen <- !is.na(value) & form %in% form[duplicated(form)]
  df <- vapply(fits, `[[`, 0, "df") + chosen
  loglik <- vapply(fits, function(f) f$loglik[2L], 0)
  data.frame(form = form, value = value, df = df, loglik = loglik,
             aic = -2 * loglik + 2 * df,
             bic = -2 * loglik + log(fits[[1L]]$nevent) * df)
}

dose_form_names <- function(table) {
  ifelse(is.na(table$value), table$form,
         paste(table$form, format(table$value, digits = 4L, trim = TRUE)))
}

# The functions of this package, where it is not attached.
env_with_forms <- function(env) {
  below <- new.env(parent = env)
  own <- topenv()
  for (name in c("exposure", "dose_spline", "dose_threshold", "dose_cap",
                 "dose_saturation", "dose_log", "dose_steps")) {
    if (!exists(name, envir = env, mode = "function")) {
      assign(name, get(name, envir = own), envir = below)
    }
  }
  below
}

# The formula with `dose = form` in one of its exposure() terms.
with_dose <- function(formula, form, term, env) {
  exposures <- split_formula(formula)$exposures
  words <- vapply(exposures, exposure_word, "")
  labels <- sprintf("exposure(%s)", words)
  wanted <- if (is.null(term)) seq_along(words) else {
    which(labels == term | gsub("\"", "", words, fixed = TRUE) == term)
  }
  if (length(wanted) != 1L) {
    abort_input("`term` must name one exposure of the model.",
                x = sprintf("They are %s.", format_list(labels)),
                arg = "term", code = "unknown_term")
  }
  old <- exposures[[wanted]]
  new <- match.call(exposure, old)
  new$dose <- form
  formula[[3L]] <- replace_call(formula[[3L]], old, new)
  environment(formula) <- env
  formula
}

exposure_word <- function(call) {
  rlang::as_label(as.list(match.call(exposure, call))$e)
}

replace_call <- function(e, old, new) {
  if (identical(e, old)) return(new)
  if (!is.call(e)) return(e)
  as.call(lapply(as.list(e), replace_call, old, new))
}

#' @rdname compare_doses
#' @param ... Not used; of `plot()`, passed to [graphics::plot.default()].
#' @export
print.dose_comparison <- function(x, ...) {
  shown <- x$table
  cat(sprintf("%s of the dose, by %s\n", count_of(nrow(shown), "function"),
              toupper(x$criterion)))
  shown$df <- vapply(shown$df, format_df, "")
  for (name in c("loglik", "aic", "bic", "delta")) {
    shown[[name]] <- formatC(shown[[name]], digits = 2L, format = "f")
  }
  shown$inside <- NULL
  shown$" " <- ifelse(x$table$delta == 0, "<- best", "")
  if (all(is.na(shown$value))) shown$value <- NULL
  print(shown, row.names = FALSE)
  for (form in unique(x$table$form[!is.na(x$table$value)])) {
    family <- x$table[x$table$form == form, ]
    if (nrow(family) < 3L) next
    kept <- range(family$value[family$inside])
    cat_wrapped(form, ": ", format_level(x$level), " interval by profile ",
                format(kept[1L], digits = 3L), " to ",
                format(kept[2L], digits = 3L), ", of the values that were",
                " fitted.")
  }
  invisible(x)
}
