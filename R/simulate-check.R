# Argument checks of the simulator: one sentence each.

# How a value that was not accepted looks, for a message.
describe_value <- function(x) {
  if (is.atomic(x) && length(x) == 1L) format(x) else what_is(x)
}

stop_sim_argument <- function(expected, x, arg) {
  abort_input(
    sprintf("`%s` must be %s.", arg, expected),
    x = paste0("It is ", describe_value(x), "."),
    code = "simulation", arg = arg
  )
}

# Numbers in low..high, `size` of them where it is given.
are_numbers <- function(x, low = -Inf, high = Inf, size = NULL) {
  if (!is.numeric(x) || !all(is.finite(x))) return(FALSE)
  if (!is.null(size) && !length(x) %in% size) return(FALSE)
  all(x >= low & x <= high)
}

# One finite number in low..high (both included unless `open_low`).
check_sim_number <- function(x, arg, low = -Inf, high = Inf, whole = FALSE,
                             open_low = FALSE) {
  ok <- are_numbers(x, low, high, size = 1L)
  if (ok && open_low) ok <- x > low
  if (ok && whole) ok <- x == round(x)
  if (ok) return(invisible(x))
  range <- if (is.finite(high)) {
    sprintf(" between %s and %s", format(low), format(high))
  } else if (is.finite(low)) {
    sprintf(if (open_low) " above %s" else " of at least %s", format(low))
  }
  stop_sim_argument(
    paste0("one ", if (whole) "whole ", "number", range), x, arg
  )
}

# Two whole numbers, the first at most the second.
check_sim_range <- function(x, arg, low, high) {
  ok <- are_numbers(x, low, high, size = 2L)
  if (ok && all(x == round(x)) && x[1L] <= x[2L]) return(invisible(x))
  stop_sim_argument(
    sprintf("two whole numbers in order, between %s and %s", format(low),
            format(high)), x, arg
  )
}

# One probability, or one per drug.
check_sim_users <- function(x, n_drugs) {
  if (!are_numbers(x, 0, 1, size = c(1L, n_drugs))) {
    stop_sim_argument("one share between 0 and 1, or one for each drug", x,
                      "users")
  }
  rep_len(x, n_drugs)
}

# Log hazard ratios of the drugs, with the drugs' names.
check_sim_log_hr <- function(x) {
  drugs <- names(x) %||% if (length(x) == 1L) "drug"
  ok <- are_numbers(x) && length(x) > 0L && are_names(drugs)
  if (!ok) {
    stop_sim_argument(
      "finite numbers, named by drug when there are several", x, "log_hr"
    )
  }
  stats::setNames(as.numeric(x), drugs)
}

are_names <- function(x) {
  !is.null(x) && !anyNA(x) && all(nzchar(x)) && !anyDuplicated(x)
}

# Log hazard ratios of sex and age; those not named are 0.
check_sim_covariates <- function(x) {
  known <- c(sex = 0, age = 0)
  named <- length(x) == 0L || (are_names(names(x)) &&
                                 all(names(x) %in% names(known)))
  if (!are_numbers(x) || !named) {
    stop_sim_argument("finite numbers named sex and age", x, "covariates")
  }
  known[names(x)] <- x
  known
}

check_sim_doses <- function(x) {
  if (!are_numbers(x) || length(x) == 0L || any(x <= 0)) {
    stop_sim_argument("positive numbers", x, "doses")
  }
  as.numeric(x)
}

check_sim_word <- function(x, known, arg) {
  if (identical(x, known)) return(known[1L])
  if (!rlang::is_string(x) || !x %in% known) {
    stop_sim_argument(paste0("\"", known, "\"", collapse = " or "), x, arg)
  }
  x
}

check_sim_flag <- function(x, arg) {
  if (!rlang::is_bool(x)) stop_sim_argument("TRUE or FALSE", x, arg)
}

# NULL, one number of lags, or one per drug.
check_sim_cutoff <- function(x, n_drugs, most_days) {
  if (is.null(x)) return(invisible())
  ok <- are_numbers(x, 1, most_days, size = c(1L, n_drugs))
  if (!ok || any(x != round(x))) {
    stop_sim_argument("one whole number of days, or one for each drug", x,
                      "cutoff")
  }
}

# Factors of the baseline hazard, named by stratum.
check_sim_strata <- function(x) {
  if (are_numbers(x, low = 1, high = 1e4, size = 1L) && is.null(names(x)) &&
        x == round(x)) {
    factors <- if (x == 1) 1 else 2^seq(-1, 1, length.out = x)
    return(stats::setNames(factors, seq_len(x)))
  }
  if (!are_numbers(x) || any(x <= 0) || !are_names(names(x))) {
    stop_sim_argument(
      "one whole number of strata, or positive numbers named by stratum", x,
      "strata"
    )
  }
  x
}

check_sim_shape <- function(x, n_strata) {
  if (!are_numbers(x, size = c(1L, n_strata)) || any(x <= 0)) {
    stop_sim_argument("one number above 0, or one for each stratum", x,
                      "shape")
  }
}

# Numbers with the given names; one number without a name serves for all.
check_sim_named <- function(x, arg, names, low = -Inf) {
  if (is.null(names(x)) && length(x) == 1L) {
    x <- stats::setNames(rep(x, length(names)), names)
  }
  if (!are_numbers(x, low) || length(x) != length(names) ||
        !setequal(names(x), names)) {
    stop_sim_argument(
      paste0("one number, or numbers named ", paste(names, collapse = " and "),
             if (is.finite(low)) sprintf(", of at least %g", low)), x, arg
    )
  }
  x[names]
}
