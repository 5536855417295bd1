# A "wce" object made without the package's own fitting code: doses are
# simulated day by day, every (person at risk, event time) pair is written out,
# and survival::coxph does the rest. Value: list(fit, coxph, pairs, history),
# where `history` is the pairs x m matrix of doses, newest first.

toy_basis <- function(m, knots, constrained) {
  basis <- splines::splineDesign(c(1, 1, 1, 1, knots, m, m, m, m), seq_len(m))
  n <- ncol(basis)
  if (identical(constrained, "right")) basis <- basis[, seq_len(n - 2)]
  if (identical(constrained, "left")) basis <- basis[, 3:n]
  basis
}

toy_pairs <- function(n, days, m, lag_in) {
  start_day <- sample(0:(days - 15), n, replace = TRUE)
  dose <- matrix(0, n, days)
  for (i in seq_len(n)) {
    inside <- seq(start_day[i] + 1, min(days, start_day[i] + sample(5:12, 1)))
    dose[i, inside] <- sample(1:3, 1)
  }
  age <- rnorm(n)
  sex <- rbinom(n, 1, 0.5)
  stop <- sample(10:days, n, replace = TRUE)
  event <- rbinom(n, 1, 0.7)
  times <- sort(unique(stop[event == 1]))
  pairs <- do.call(rbind, lapply(times, function(t) {
    i <- which(stop >= t)
    data.frame(i = i, t = t, event = as.numeric(stop[i] == t & event[i] == 1))
  }))
  lags <- (lag_in + 1):m
  history <- t(vapply(seq_len(nrow(pairs)), function(k) {
    day <- pairs$t[k] - lags + 1
    ifelse(day >= 1, dose[pairs$i[k], pmax(day, 1)], 0)
  }, numeric(length(lags))))
  list(pairs = pairs, history = history, age = age, sex = sex,
       n_events = sum(event))
}

toy_fit <- function(nknots = 1:3, constrained = "right", m = 20, lag_in = 0,
                    n = 120, days = 60, covariates = TRUE, seed = 5,
                    select = 1) {
  data <- withr::with_seed(seed, toy_pairs(n, days, m, lag_in))
  pairs <- data$pairs
  n_lags <- m - lag_in
  x <- if (covariates) {
    cbind(sex = data$sex[pairs$i], age = data$age[pairs$i])
  } else {
    matrix(0, nrow(pairs), 0)
  }
  y <- survival::Surv(pairs$t - 1, pairs$t, pairs$event)
  fits <- lapply(nknots, function(k) {
    knots <- round(quantile(seq_len(n_lags), seq_len(k) / (k + 1),
                            names = FALSE))
    basis <- toy_basis(n_lags, knots, constrained)
    z <- data$history %*% basis
    colnames(z) <- paste0("exposure(dose)", seq_len(ncol(z)))
    columns <- cbind(x, z)
    model <- survival::coxph(
      y ~ columns,
      control = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                        iter.max = 60)
    )
    b <- setNames(coef(model), colnames(columns))
    list(
      coxph = model, coefficients = b, var = unname(model$var),
      loglik = model$loglik, score = numeric(length(b)), iterations = 6L,
      converged = TRUE, infinite = rep(FALSE, length(b)),
      choice = list(nknots = k, knots = knots, basis_matrix = basis,
                    index = ncol(x) + seq_len(ncol(z)))
    )
  })
  df <- vapply(fits, function(f) sum(!is.na(f$coefficients)), 0L)
  loglik <- vapply(fits, function(f) f$loglik[2], 0)
  selection <- data.frame(
    nknots = nknots, df = df, loglik = loglik, aic = -2 * loglik + 2 * df,
    bic = -2 * loglik + df * log(data$n_events), converged = TRUE,
    selected = seq_along(nknots) == select
  )
  models <- lapply(fits, `[[`, "coxph")
  term <- list(
    label = "exposure(dose)", cutoff = m, lag_in = lag_in,
    constrained = constrained, basis = "clamped",
    lags = lag_in + seq_len(n_lags), covered = colSums(data$history) > 0,
    from_records = FALSE, choices = lapply(fits, `[[`, "choice")
  )
  fits <- lapply(fits, function(f) f[!names(f) %in% c("coxph", "choice")])
  formula <- if (covariates) {
    Surv(start, stop, event) ~ sex + age + exposure(dose)
  } else {
    Surv(start, stop, event) ~ exposure(dose)
  }
  environment(formula) <- globalenv()
  best <- fits[[select]]
  fit <- structure(
    list(
      call = quote(wce(formula, data)), formula = formula,
      engine = "reference", coefficients = best$coefficients, var = best$var,
      loglik = best$loglik, score = best$score, iter = best$iterations,
      converged = TRUE, infinite = best$infinite, n_rows = n, n_subjects = n,
      nevent = data$n_events, n_pairs = sum(rowSums(data$history) > 0),
      ties = "efron", criterion = "bic", df = df[select],
      exposures = list(c(term[names(term) != "choices"],
                         term$choices[[select]])),
      grid = list(term), selection = selection, fits = fits, counts = list(),
      unit = "day", session = list()
    ),
    class = "wce"
  )
  list(fit = fit, coxph = models[[select]], pairs = pairs,
       history = data$history)
}
