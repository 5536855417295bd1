# The reference engine: survival::coxph on expanded rows.
#
# Every (row at risk, event time) pair becomes one row, with its doses of the
# last m time units written out one by one and multiplied by the basis; each
# event time is a stratum of its own. Short and obviously right; needs memory
# and time in proportion to the pairs, so it serves small data, machines
# without Python, and as the oracle of the tests.
#
# Arguments and value are those of the engine function of the same name.

fit_wce_reference <- function(start, stop, event, stratum, subject, offset,
                              weight, x, n_subjects, terms, designs,
                              ties = "efron", control = list(),
                              inequalities = NULL, penalties = NULL) {
  risk <- reference_risk_sets(start, stop, event, stratum)
  past <- reference_past(risk, subject, n_subjects, terms, designs)
  fits <- lapply(seq_along(designs), function(d) {
    design <- designs[[d]]
    columns <- lapply(seq_along(terms), function(k) {
      past$features(k, design[[k]])
    })
    z <- cbind(x[risk$row, , drop = FALSE], do.call(cbind, columns))
    a <- inequalities[[d]]
    penalty <- penalties[[d]]
    maximise <- if (!is.null(penalty)) {
      function(...) reference_penalised(..., penalty)
    } else if (is.null(a)) {
      reference_coxph
    } else {
      function(...) reference_shaped(..., a)
    }
    fit <- maximise(risk, z, offset[risk$row], weight[risk$row], ties, control)
    c(fit, n_pairs = as.numeric(sum(past$exposed(design))))
  })
  exposed <- past$exposed(NULL)
  list(
    fits = fits, covered = past$covered, n_event_times = risk$n_times,
    n_pairs = as.numeric(sum(exposed)), n_events = sum(event),
    exposed_events = sum(exposed & risk$event == 1)
  )
}

# What the fits need of the doses before each pair's event time:
#   features(k, table)   pairs x J columns of term k
#   exposed(design)      has the pair a dose in the design's windows (NULL: in
#                        the longest of each term)
#   covered              per term, by lag or stretch of lags
reference_past <- function(risk, subject, n_subjects, terms, designs) {
  smooth <- length(terms) > 0L && is.list(designs[[1L]][[1L]])
  read <- if (smooth) reference_smooth_past else reference_daily_past
  read(risk, subject, n_subjects, terms, designs)
}

reference_daily_past <- function(risk, subject, n_subjects, terms, designs) {
  windows <- function(design) vapply(design, nrow, 0L) - 1L
  longest <- longest_windows(designs, windows)
  doses <- lapply(terms, reference_daily_doses)
  histories <- reference_histories(risk, subject, n_subjects, doses, longest)
  list(
    features = function(k, table) {
      basis <- matrix(apply(table, 2L, diff), ncol = ncol(table))
      histories[[k]][, seq_len(nrow(basis)), drop = FALSE] %*% basis
    },
    exposed = function(design) {
      sizes <- if (is.null(design)) longest else windows(design)
      any_of(lapply(seq_along(terms), function(k) {
        rowSums(histories[[k]][, seq_len(sizes[k]), drop = FALSE] != 0) > 0
      }), risk)
    },
    covered = lapply(histories, function(h) colSums(h != 0) > 0)
  )
}

reference_smooth_past <- function(risk, subject, n_subjects, terms, designs) {
  windows <- function(design) vapply(design, function(t) max(t$breaks), 0)
  longest <- longest_windows(designs, windows)
  list(
    features = function(k, table) {
      reference_integrals(risk, subject, n_subjects, terms[[k]], table)
    },
    exposed = function(design) {
      sizes <- if (is.null(design)) longest else windows(design)
      any_of(lapply(seq_along(terms), function(k) {
        reference_near(risk, subject, terms[[k]], sizes[k])
      }), risk)
    },
    covered = lapply(terms, function(term) {
      reference_cells(risk, subject, term)
    })
  )
}

longest_windows <- function(designs, windows) {
  do.call(pmax, lapply(designs, windows))
}

any_of <- function(flags, risk) {
  Reduce(`|`, flags, logical(length(risk$row)))
}

# All (row, event time) pairs with start < time <= stop in the same stratum.
reference_risk_sets <- function(start, stop, event, stratum) {
  times <- unique(data.frame(stratum, time = stop)[event == 1, , drop = FALSE])
  at_risk <- lapply(seq_len(nrow(times)), function(k) {
    which(stratum == times$stratum[k] & start < times$time[k] &
            stop >= times$time[k])
  })
  size <- lengths(at_risk)
  row <- unlist(at_risk)
  time <- rep(times$time, size)
  list(row = row, time = time, set = rep(seq_along(size), size),
       event = as.numeric(event[row] == 1 & stop[row] == time),
       n_times = nrow(times))
}

# One row per (subject, unit x) with a dose in (x, x + 1]; overlaps are summed.
reference_daily_doses <- function(term) {
  n_units <- term$stop - term$start
  subject <- rep(term$subject, n_units)
  unit <- sequence(n_units, from = term$start)
  key <- order(subject, unit)
  subject <- subject[key]
  unit <- unit[key]
  dose <- rep(term$dose, n_units)[key]
  first <- !duplicated(data.frame(subject, unit))
  list(subject = subject[first], unit = unit[first],
       dose = as.vector(rowsum(dose, cumsum(first), reorder = FALSE)))
}

# For each term the pairs x lags matrix of doses: lag u is the unit t - u.
reference_histories <- function(risk, subject, n_subjects, doses, n_lags) {
  pairs_at <- split(seq_along(risk$row), risk$set)
  lapply(seq_along(doses), function(k) {
    daily <- doses[[k]]
    history <- matrix(0, length(risk$row), n_lags[k])
    for (pairs in pairs_at) {
      lag <- risk$time[pairs[1L]] - daily$unit
      inside <- which(lag >= 1 & lag <= n_lags[k])
      window <- matrix(0, n_subjects, n_lags[k])
      window[cbind(daily$subject[inside], lag[inside])] <- daily$dose[inside]
      history[pairs, ] <- window[subject[risk$row[pairs]], ]
    }
    history
  })
}

reference_coxph <- function(risk, x, offset, weight, ties, control) {
  tol_singular <- control$tol_singular %||% .Machine$double.eps^0.75
  y <- survival::Surv(rep(1, nrow(x)), risk$event)
  set <- risk$set
  # A likelihood that rises for ever and a singular column are results here
  # (`infinite`, NaN), so coxph's own warnings about them are not repeated.
  seen <- new.env(parent = emptyenv())
  seen$infinite <- logical(ncol(x))
  fit <- withCallingHandlers(
    if (ncol(x) == 0L) {
      survival::coxph(y ~ strata(set) + offset(offset), weights = weight,
                      ties = ties, robust = FALSE)
    } else {
      survival::coxph(
        y ~ x + strata(set) + offset(offset), weights = weight, ties = ties,
        robust = FALSE,
        control = survival::coxph.control(eps = 1e-14, iter.max = 60,
                                          toler.chol = tol_singular)
      )
    },
    warning = function(w) {
      if (grepl("coefficient may be infinite", conditionMessage(w))) {
        at <- sub(".*before variable +", "", conditionMessage(w))
        at <- as.integer(strsplit(sub(" *;.*", "", at), ",")[[1L]])
        seen$infinite[at] <- TRUE
      }
      invokeRestart("muffleWarning")
    }
  )
  coefficients <- unname(stats::coef(fit)) %||% numeric()
  aliased <- is.na(coefficients)
  coefficients[aliased] <- NaN
  list(
    coefficients = coefficients,
    var = if (ncol(x)) fit$var else matrix(0, 0, 0),
    loglik = rep(fit$loglik, length.out = 2L),
    score = reference_score(risk, x, coefficients, offset, weight, ties),
    iterations = fit$iter %||% 0L, converged = (fit$iter %||% 0L) < 60L,
    halvings = 0L, infinite = seen$infinite
  )
}

# Gradient of the partial log-likelihood.
reference_score <- function(risk, x, coefficients, offset, weight, ties) {
  coefficients[is.nan(coefficients)] <- 0
  reference_derivatives(risk, x, coefficients, offset, weight, ties)$score
}

# Partial log-likelihood, its gradient and the information (minus the second
# derivative), written out set by set.
reference_derivatives <- function(risk, x, beta, offset, weight, ties) {
  eta <- drop(x %*% beta) + offset
  loglik <- 0
  score <- numeric(ncol(x))
  info <- matrix(0, ncol(x), ncol(x))
  for (pairs in split(seq_along(eta), risk$set)) {
    z <- x[pairs, , drop = FALSE]
    shift <- max(eta[pairs])
    r <- weight[pairs] * exp(eta[pairs] - shift)
    dead <- risk$event[pairs] == 1
    n_dead <- sum(dead)
    w <- weight[pairs][dead]
    left_out <- if (ties == "efron") (seq_len(n_dead) - 1) / n_dead else
      numeric(n_dead)
    loglik <- loglik + sum(w * (eta[pairs][dead] - shift))
    score <- score + colSums(w * z[dead, , drop = FALSE])
    for (f in left_out) {
      r_f <- r * (1 - f * dead)
      centre <- colSums(r_f * z) / sum(r_f)
      loglik <- loglik - mean(w) * log(sum(r_f))
      score <- score - mean(w) * centre
      info <- info + mean(w) *
        (crossprod(z, r_f * z) / sum(r_f) - tcrossprod(centre))
    }
  }
  list(loglik = loglik, score = score, info = info)
}
