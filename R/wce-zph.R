# Do the coefficients, and with them the weight function, change with the time
# of follow-up?
#
# With coefficients b + g(t) c, g some function of time, the score test of c =
#   0: U = sum of g(t) x (Schoenfeld residuals), its variance from the
#   information [ I   I1 ]  I = sum V(t), I1 = sum g V(t), I2 = sum g^2 V(t),
#   [ I1  I2 ]  V(t) the variance of x at risk at t.
# One Newton step from c = 0 also estimates how the weights change. Source:
# Grambsch and Therneau (1994), Biometrika 81, 515-526, and the exact form in
# Therneau and Grambsch (2000), Modeling Survival Data, section 6.2.
#
# Where a shape holds with equality, b moves on the face b = Z theta only, and
# all of this is done for theta.
#
# In a penalised fit b comes with C = I + diag(theta) in place of I, and c of a
# weight function has a penalty on roughness that leaves it `df` degrees of
# freedom, whatever the data say, as in the tests of R/wce-wald.R. With
#   V = I2 - I1' C^-1 I1                             c's information
#   F = V - I1' (C^-1 - C^-1 I C^-1) I1              variance of U
# the statistic is U' (V + penalty)^-1 U, a sum of chi-squared variables with
# the eigenvalues of (V + penalty)^-1 F as weights. (V is F without a penalty.)
# The bias of b enters U through I1 only, nearly zero as g is centred.

#' Does the weight function change with follow-up time?
#'
#' Score tests of proportional hazards, for every covariate and for the weight
#' function of every exposure term as a whole: the tests of
#' [survival::cox.zph()], which is no generic and takes models of `coxph()`
#' only. A weight function that depends on the time since entry, and not on the
#' lag alone, shows here.
#'
#' @param fit A fitted model, from [wce()].
#' @param transform The function of time in proportion to which coefficients
#'   may change: `"km"` (one less the Kaplan-Meier curve), `"rank"` (the ranks
#'   of the events' times among themselves; [survival::cox.zph()] ranks the rows
#'   of the data, which depend on how they are cut), `"identity"`, `"log"`, or a
#'   function of time.
#' @param terms `TRUE`: one test per term of the formula; `FALSE`: one per
#'   coefficient.
#' @param global Also the test of all together?
#' @param df In a penalised fit, the effective degrees of freedom of the change
#'   of each weight function, and of its test.
#' @inheritParams residuals.wce
#' @return An object of class `ph_check`: a list with
#'   \describe{
#'   \item{table}{matrix with columns `chisq`, `df`, `p`;}
#'   \item{x, time, strata}{transformed time, time and stratum of each event;}
#'   \item{y}{scaled Schoenfeld residuals, a row per event: for each covariate
#'     around its coefficient, for an exposure around its total effect, the log
#'     hazard ratio of one unit of dose at all lags;}
#'   \item{var}{variance of these coefficients;}
#'   \item{curves}{data frame of the weight function of each exposure term early
#'     and late in follow-up (at the first and last tenth of the events), by one
#'     Newton step: `term`, `when`, `time`, `lag`, `weight`, `se`, `lower`,
#'     `upper`;}
#'   \item{transform, call, unit, level}{}
#'   }
#' @section Errors: As [residuals.wce()]; `vigitensor_error_transform`.
#' @export
#' @examples
#' people <- claims_people[1:200, ]
#' fit <- wce(
#'   Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
#'   data = people, id = person_id, records = claims_dispensings,
#'   cutoff = 90, nknots = 1, constrained = "right", engine = "reference"
#' )
#' ph_check(fit)
ph_check <- function(fit, transform = "km", terms = TRUE, global = TRUE,
                     df = 4, data = NULL, records = NULL) {
  for (name in c("terms", "global")) {
    if (!rlang::is_bool(get(name))) {
      abort_input(sprintf("`%s` must be TRUE or FALSE.", name), arg = name)
    }
  }
  check_number(df, "df", 0.5)
  problem <- fit_problem(fit, data, records, parent.frame())
  base <- fit_baseline(problem, residuals = TRUE)
  row_time <- problem$rows$stop[base$row]
  g <- time_transform(transform, problem$rows, row_time)
  centre <- mean(g(row_time))
  found <- fit_results("wce_time_information", problem,
                       scale = g(base$time) - centre)
  blocks <- free_blocks(fit, problem, terms)
  model <- changing_model(fit, found, blocks, if (terms) df)
  values <- moving_values(fit, base, row_time)
  structure(
    list(
      table = zph_table(model, blocks, global),
      x = g(row_time), time = row_time,
      strata = fit$meta$strata[problem$rows$stratum[base$row]],
      y = values$y, var = values$var,
      curves = moving_weights(fit, model, blocks$z, row_time,
                              function(t) g(t) - centre),
      transform = if (is.function(transform)) "user" else transform,
      call = match.call(), unit = fit$unit, level = 0.95,
      n_events = length(row_time)
    ),
    class = "ph_check"
  )
}

# ---- time --------------------------------------------------------------------

# Value: a function of (event) times.
time_transform <- function(transform, rows, times) {
  if (is.function(transform)) {
    return(function(t) check_transformed(transform(t), length(t)))
  }
  transform <- check_word(transform, c("km", "rank", "identity", "log"),
                          "transform")
  switch(transform,
    identity = function(t) t,
    log = function(t) check_transformed(log(t), length(t)),
    rank = {
      known <- sort(unique(times))
      ranks <- rank(times)[match(known, times)]
      function(t) ranks[match(t, known)]
    },
    km = kaplan_meier(rows, sort(unique(times)))
  )
}

check_transformed <- function(x, n) {
  if (is.numeric(x) && length(x) == n && all(is.finite(x))) return(x)
  abort_input("`transform` must give a finite number for every event time.",
              arg = "transform", code = "transform")
}

# One less the share that has had no event before t; rows count alike.
kaplan_meier <- function(rows, times) {
  one <- list(start = rows$start, stop = rows$stop, event = rows$event,
              stratum = rep.int(1L, length(rows$start)),
              weight = rep.int(1, length(rows$start)))
  counts <- risk_counts(one, times, rep.int(1L, length(times)))
  after <- cumprod(1 - counts$n_event / counts$n_risk)
  before <- c(1, after[-length(after)])
  function(t) 1 - before[match(t, times)]
}

# ---- tests -------------------------------------------------------------------

# The columns of Z, by term (or coefficient): list(z = p x free, of = a list of
# positions in theta).
free_blocks <- function(fit, problem, by_term) {
  p <- length(fit$coefficients)
  columns <- term_columns(fit)
  if (!by_term) {
    columns <- stats::setNames(as.list(seq_len(p)), names(fit$coefficients))
  }
  held <- problem$inequality %||% matrix(0, 0L, p)
  held <- held[which(fit$active), , drop = FALSE]
  if (length(held) && !by_term) {
    abort_input("Tests by coefficient do not go with a shape that is active.",
                i = "Use `terms = TRUE`.", arg = "terms", code = "shape")
  }
  kept <- !is.na(fit$coefficients)
  pieces <- lapply(columns, function(k) {
    k <- k[kept[k]]
    unit <- diag(p)[, k, drop = FALSE]
    mine <- held[, k, drop = FALSE]
    mine <- mine[rowSums(mine != 0) > 0, , drop = FALSE]
    if (!length(mine)) return(unit)
    unit %*% null_space(mine)
  })
  pieces <- Filter(ncol, pieces)
  sizes <- vapply(pieces, ncol, 0L)
  last <- cumsum(sizes)
  list(z = do.call(cbind, unname(pieces)),
       of = Map(function(n, to) seq_len(n) + to - n, sizes, last))
}

# Orthonormal columns that span { x : a x = 0 }; a has independent rows.
null_space <- function(a) {
  q <- qr.Q(qr(t(a)), complete = TRUE)
  q[, -seq_len(nrow(a)), drop = FALSE]
}

# The quadratic model of b and c, on the face. df: NULL, no penalty on c.
changing_model <- function(fit, found, blocks, df) {
  z <- blocks$z
  on_face <- function(m) crossprod(z, m %*% z)
  model <- list(info = on_face(found$info), cross = on_face(found$cross),
                square = on_face(found$square),
                score = drop(crossprod(z, found$score)),
                theta = numeric(ncol(z)), change = numeric(ncol(z)))
  if (is.null(fit$smoothing)) return(model)
  # No shape goes with a penalty: the columns of z are those of the identity.
  at <- apply(z != 0, 2L, which)
  model$theta <- fit$smoothing$theta[at]
  if (is.null(df)) return(model)
  for (k in blocks$of[names(blocks$of) %in% exposure_labels(fit)]) {
    i <- at[k]
    alone <- diag(length(fit$coefficients))
    alone[i, i] <- changing_variance(model, k)$v
    none <- numeric(length(fit$coefficients))
    if (length(k) > df) {
      model$change[k] <- theta_of_df(fit, i, alone, none, df)
    }
  }
  model
}

# Of the columns k: list(v = information on c, f = variance of the score).
changing_variance <- function(model, k) {
  cross <- model$cross[, k, drop = FALSE]
  penalised <- model$info
  diag(penalised) <- diag(penalised) + model$theta
  by_b <- scaled_solve(penalised, cross)
  v <- model$square[k, k, drop = FALSE] - crossprod(cross, by_b)
  list(v = v, f = v - crossprod(by_b, model$theta * by_b))
}

zph_table <- function(model, blocks, global) {
  plain <- !any(model$theta > 0)
  test <- function(k) {
    found <- changing_variance(model, k)
    u <- model$score[k]
    if (plain) {
      chisq <- drop(scaled_solve(found$v, u) %*% u)
      tail <- stats::pchisq(chisq, length(k), lower.tail = FALSE)
      return(c(chisq, length(k), tail))
    }
    both <- found$v + diag(model$change[k], length(k))
    tested <- weighted_wald(drop(scaled_solve(both, u)),
                            scaled_solve(both, diag(length(k))),
                            scaled_solve(both, t(scaled_solve(both, found$f))))
    c(tested$statistic, tested$df, tested$p)
  }
  sets <- blocks$of
  if (global) sets <- c(sets, list(GLOBAL = seq_along(model$score)))
  t(vapply(sets, test, c(chisq = 0, df = 0, p = 0)))
}

# Columns of very different sizes, as ages and doses, make no system singular.
scaled_solve <- function(a, b) {
  size <- sqrt(diag(a))
  size[size == 0] <- 1
  solve(a / outer(size, size), b / size, tol = 1e-14) / size
}

# ---- what is drawn -----------------------------------------------------------

# Scaled Schoenfeld residuals of the covariates and of the total effects.
moving_values <- function(fit, base, times) {
  b <- fit$coefficients
  columns <- seq_len(length(b) - length(exposure_indices(fit)))
  kept <- columns[!is.na(b[columns])]
  p <- length(b)
  exposures <- vapply(fit$exposures, function(e) {
    replace(numeric(p), e$index, total_basis(e))
  }, numeric(p))
  values <- cbind(diag(p)[, kept, drop = FALSE], matrix(exposures, p))
  colnames(values) <- c(names(b)[kept], exposure_labels(fit))
  b[is.na(b)] <- 0
  scaled <- base$schoenfeld %*% model_variance(fit) * length(times)
  y <- sweep(scaled, 2L, b, `+`) %*% values
  rownames(y) <- times
  list(y = y, var = crossprod(values, model_variance(fit) %*% values))
}

# What the coefficients multiply in the effect of dose 1 at all lags.
total_basis <- function(exposure) {
  cumulated <- cumulated_basis(exposure)
  drop(cumulated$at(cumulated$window))
}

# Weight functions early and late, by one Newton step on coefficients that may
# change in proportion to g.
moving_weights <- function(fit, model, z, times, g) {
  n <- ncol(z)
  both <- rbind(cbind(model$info, model$cross),
                cbind(t(model$cross), model$square))
  diag(both) <- diag(both) + c(model$theta, model$change)
  var <- scaled_solve(both, diag(2L * n))
  step <- drop(var %*% c(numeric(n), model$score))
  b <- fit$coefficients
  b[is.na(b)] <- 0
  when <- c(early = 0.1, late = 0.9)
  at <- stats::quantile(times, when, type = 1L, names = FALSE)
  reach <- stats::qnorm(0.975)
  pieces <- lapply(seq_along(when), function(i) {
    mix <- cbind(z, g(at[i]) * z)
    b_then <- b + drop(mix %*% step)
    v_then <- mix %*% var %*% t(mix)
    lapply(fit$exposures, function(e) {
      basis <- plain_basis(e)
      weight <- drop(basis %*% b_then[e$index])
      se <- sqrt(row_forms(basis, v_then[e$index, e$index, drop = FALSE]))
      weight[!e$covered] <- se[!e$covered] <- NA
      data.frame(term = e$label, when = names(when)[i], time = at[i],
                 lag = e$lags, weight = weight, se = se,
                 lower = weight - reach * se, upper = weight + reach * se)
    })
  })
  do.call(rbind, unlist(pieces, recursive = FALSE))
}

#' @rdname ph_check
#' @param x An object of class `ph_check`.
#' @param digits Significant digits.
#' @param ... Not used.
#' @export
print.ph_check <- function(x, digits = 3L, ...) {
  words <- c(km = "the Kaplan-Meier curve", rank = "the rank of time",
             identity = "time", log = "the logarithm of time",
             user = "the given function of time")
  cat_wrapped("Do effects change with ", words[[x$transform]],
              "? Score tests, ", count_of(x$n_events, "event"))
  stats::printCoefmat(x$table, digits = digits, signif.stars = FALSE,
                      P.values = TRUE, has.Pvalue = TRUE)
  cat("Next: plot(x), plot(x, \"weight\").\n")
  invisible(x)
}
