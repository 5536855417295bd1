# Weight functions for simulated data: the six scenarios of Sylvestre and
# Abrahamowicz (2009), Statistics in Medicine 28, 3437, and the checks of a
# user's own.

#' Six weight functions to simulate from
#'
#' The weight functions of the simulation study of Sylvestre and Abrahamowicz
#' (2009), as weights of whole days. The weight of lag `v` is the integral of
#' the function over ages of dose from `v - 1` to `v` days, exactly; lag 1 is
#' the day that ends at the event time. Each function has area 1 between 0 and
#' 180 days, whatever `cutoff`.
#'
#' With `u` the age of the dose in days, up to the constant that makes the
#' area 1:
#' * `"exponential"`: `exp(-7 u / 365)`;
#' * `"bilinear"`: `1 - u / 50`, and 0 after 50 days;
#' * `"early_peak"`: a normal density of mean 0.04 and standard deviation 0.05
#'   years;
#' * `"inverted_u"`: a normal density of mean 0.2 and standard deviation 0.06
#'   years;
#' * `"constant"`: the same until 180 days, 0 after;
#' * `"hat"`: rises in a straight line until 180 days, then falls to 0 at 240
#'   days. A model with `cutoff = 180` misses its last part: it shows what a
#'   window that is too short does.
#'
#' @param scenario One of the six names.
#' @param cutoff Number of lags, a whole number of days of at least 1. By
#'   default 180, and 240 for `"hat"`.
#'
#' @return A numeric vector of length `cutoff`: the weights of lags 1, 2, ...
#'
#' @section Errors:
#' `vigitensor_error_simulation` when an argument is not as described.
#'
#' @references Sylvestre MP, Abrahamowicz M (2009). Flexible modeling of the
#'   cumulative effects of time-dependent exposures on the hazard. *Statistics
#'   in Medicine* 28, 3437-3453. \doi{10.1002/sim.3701}
#' @seealso [simulate_wce()]
#' @export
#' @examples
#' w <- scenario_weights("early_peak")
#' plot(w, type = "l", xlab = "Lag (days)", ylab = "Weight")
#' sum(w)
scenario_weights <- function(scenario = c("exponential", "bilinear",
                                          "early_peak", "inverted_u",
                                          "constant", "hat"),
                             cutoff = NULL) {
  known <- eval(formals(scenario_weights)$scenario)
  if (missing(scenario)) scenario <- known[1L]
  if (!is.character(scenario) || length(scenario) != 1L ||
        !scenario %in% known) {
    abort_input(
      sprintf("`scenario` must be one of %s.",
              paste0("\"", known, "\"", collapse = ", ")),
      x = paste0("It is ", describe_value(scenario), "."),
      code = "simulation", arg = "scenario"
    )
  }
  cutoff <- cutoff %||% if (scenario == "hat") 240 else 180
  check_sim_number(cutoff, "cutoff", low = 1, whole = TRUE)
  area <- scenario_area(scenario, 0:cutoff)
  total <- diff(scenario_area(scenario, c(0, 180)))
  diff(area) / total
}

# Integral of a scenario's function from 0 to u days, up to its constant.
scenario_area <- function(scenario, u) {
  year <- 365
  switch(scenario,
    exponential = 1 - exp(-7 * u / year),
    bilinear = {
      inside <- pmin(u, 50)
      inside - inside^2 / 100
    },
    early_peak = stats::pnorm(u, 0.04 * year, 0.05 * year),
    inverted_u = stats::pnorm(u, 0.20 * year, 0.06 * year),
    constant = pmin(u, 180),
    hat = {
      rising <- pmin(u, 180)
      falling <- pmin(pmax(u - 180, 0), 60)
      rising^2 / 360 + falling - falling^2 / 120
    }
  )
}

# The weights of lags 1..cutoff from whatever the user gave for one drug: a
# scenario's name, a function of the lag, or the numbers.
resolve_weights <- function(weights, cutoff, arg = "weights") {
  if (is.character(weights)) return(scenario_weights(weights, cutoff))
  if (is.function(weights)) {
    lags <- seq_len(cutoff %||% 180)
    weights <- weights(lags)
    came <- "The function returned"
  } else {
    lags <- seq_len(cutoff %||% max(length(weights), 1L))
    came <- "It has"
  }
  n_lags <- length(lags)
  if (!is.numeric(weights) || length(weights) != n_lags ||
        !all(is.finite(weights))) {
    abort_input(
      sprintf("`%s` must give one finite number for each of the lags 1 to %d.",
              arg, n_lags),
      x = sprintf("%s %d value(s) of type %s, %d of them finite numbers.",
                  came, length(weights), typeof(weights),
                  if (is.numeric(weights)) sum(is.finite(weights)) else 0L),
      i = paste("Give a scenario's name, a function of the lag in days, or a",
                "vector as long as the cutoff."),
      code = "simulation", arg = arg
    )
  }
  as.numeric(weights)
}
