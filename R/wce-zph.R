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
                     data = NULL, records = NULL) {
  for (name in c("terms", "global")) {
    if (!rlang::is_bool(get(name))) {
      abort_input(sprintf("`%s` must be TRUE or FALSE.", name), arg = name)
    }
  }
  if (!is.null(fit$smoothing)) {
    abort_input("`ph_check()` needs a fit without a penalty.",
                x = "Its score tests take the score at the optimum as zero.",
                i = "Use `update(fit, smooth = \"none\", nknots = 1:3)`.",
                arg = "fit", code = "smooth")
  }
  problem <- fit_problem(fit, data, records, parent.frame())
  base <- fit_baseline(problem, residuals = TRUE)
  row_time <- problem$rows$stop[base$row]
  g <- time_transform(transform, problem$rows, row_time)
  centre <- mean(g(row_time))
  found <- fit_results("wce_time_information", problem,
                       scale = g(base$time) - centre)
  blocks <- free_blocks(fit, problem, terms)
  values <- moving_values(fit, base, row_time)
  structure(
    list(
      table = zph_table(found, blocks, global),
      x = g(row_time), time = row_time,
      strata = fit$meta$strata[problem$rows$stratum[base$row]],
      y = values$y, var = values$var,
      curves = moving_weights(fit, found, blocks, row_time,
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

zph_table <- function(found, blocks, global) {
  z <- blocks$z
  on_face <- function(m) crossprod(z, m %*% z)
  info <- on_face(found$info)
  cross <- on_face(found$cross)
  square <- on_face(found$square)
  score <- drop(crossprod(z, found$score))
  test <- function(k) {
    both <- rbind(cbind(info, cross[, k, drop = FALSE]),
                  cbind(cross[k, , drop = FALSE], square[k, k, drop = FALSE]))
    u <- c(numeric(nrow(info)), score[k])
    c(drop(scaled_solve(both, u) %*% u), length(k))
  }
  sets <- blocks$of
  if (global) sets <- c(sets, list(GLOBAL = seq_len(ncol(z))))
  rows <- t(vapply(sets, test, c(chisq = 0, df = 0)))
  cbind(rows, p = stats::pchisq(rows[, 1L], rows[, 2L], lower.tail = FALSE))
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
moving_weights <- function(fit, found, blocks, times, g) {
  z <- blocks$z
  n <- ncol(z)
  info <- crossprod(z, found$info %*% z)
  cross <- crossprod(z, found$cross %*% z)
  square <- crossprod(z, found$square %*% z)
  var <- scaled_solve(rbind(cbind(info, cross), cbind(t(cross), square)),
                      diag(2L * n))
  step <- drop(var %*% c(numeric(n), crossprod(z, found$score)))
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
