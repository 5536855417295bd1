# From dose histories to what the coefficients multiply.
#
# Value of both functions, with a row per history (named):
#   doses      histories x lags: where two histories differ
#   features   histories x J: their difference times the coefficients is the log
#              hazard ratio

unit_histories <- function(x, exposure, at, arg) {
  doses <- read_profiles(x, exposure$cutoff, at, arg)
  doses <- doses[, exposure$lags, drop = FALSE]
  list(doses = doses, features = doses %*% plain_basis(exposure))
}

# The constrained end is exactly zero but for rounding in the splines.
plain_basis <- function(exposure) {
  basis <- exposure$basis_matrix
  basis[abs(basis) < 1e-12] <- 0
  basis
}

# In continuous time, by exact integrals. The dose at a shown lag is the mean of
# the stretch before it.
smooth_histories <- function(x, exposure, at, arg) {
  courses <- read_courses(x, ceiling(exposure$cutoff), at, arg)
  lags <- exposure$lags
  widths <- diff(lags)
  doses <- lapply(courses, function(course) {
    total <- numeric(length(widths))
    for (k in seq_len(nrow(course))) {
      shared <- pmin(lags[-1L], course$to[k]) -
        pmax(lags[-length(lags)], course$from[k])
      total <- total + course$dose[k] * pmax(shared, 0)
    }
    mean_dose <- total / widths
    mean_dose[abs(mean_dose) < 1e-12] <- 0
    c(mean_dose[1L], mean_dose)
  })
  features <- lapply(courses, function(course) {
    reach <- function(lag) integral_at(exposure$integral, lag - exposure$lag_in)
    colSums(course$dose * (reach(course$to) - reach(course$from)))
  })
  stack <- function(rows, n) {
    matrix(unlist(rows), length(rows), n, byrow = TRUE,
           dimnames = list(names(courses), NULL))
  }
  list(doses = stack(doses, length(lags)),
       features = stack(features, ncol(exposure$basis_matrix)))
}

# x: see hazard_ratio(). Value: a named list of data frames (from, to, dose), in
# lags before the time of comparison.
read_courses <- function(x, n_units, at, arg) {
  if (is.data.frame(x)) {
    records <- read_records(x, at, arg, whole = FALSE)
    courses <- lapply(as.numeric(at), function(time) {
      data.frame(from = time - records$stop, to = time - records$start,
                 dose = records$dose)
    })
    names(courses) <- if (length(at) > 1L) paste("at", at) else "1"
    return(courses)
  }
  if (is_plain_list(x) && any(vapply(x, is.data.frame, NA))) {
    courses <- lapply(seq_along(x), function(k) {
      one <- read_courses(x[[k]], n_units, at, sprintf("%s[[%d]]", arg, k))
      if (length(one) != 1L) {
        abort_input(sprintf("`%s[[%d]]` must be one history.", arg, k),
                    x = sprintf("It holds %d.", length(one)),
                    code = "profile", arg = arg)
      }
      one[[1L]]
    })
    labels <- names(x) %||% rep("", length(x))
    names(courses) <- ifelse(labels == "", seq_along(x), labels)
    return(courses)
  }
  doses <- read_profiles(x, n_units, NULL, arg)
  courses <- lapply(seq_len(nrow(doses)), function(k) {
    data.frame(from = seq_len(n_units) - 1, to = seq_len(n_units),
               dose = doses[k, ])
  })
  stats::setNames(courses, rownames(doses))
}
