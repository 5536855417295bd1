# Penalised surfaces over dose and lag, against Kronecker products of the
# margins' matrices, coxph at the result, and mgcv with these matrices.

surface_fit <- function(study, smooth = "reml", spline = dose_spline(top = 4),
                        engine = one_engine(), cutoff = 12, nknots = 2, ...) {
  smooth_fit(study, smooth, formula = surface_formula(spline),
             engine = engine, cutoff = cutoff, nknots = nknots, ...)
}

# The matrices of both margins as they are written, before any basis is turned.
margins <- function(cutoff = 12, nknots = 2, spline = dose_spline(4, 1:3)) {
  along <- penalty_matrices(wce_all_knots(cutoff, wce_knots(cutoff, nknots),
                                          "clamped", 4L), 4L, 1, cutoff)
  across <- penalty_matrices(spline$knots, spline$degree + 1L, 0, spline$top)
  list(lag = along, dose = lapply(across, function(x) x[-1L, -1L]))
}

test_that("the penalties of the product basis are Kronecker products", {
  spline <- dose_spline(4, 1:3)
  turned <- turned_dose_basis(spline, "a")
  expect_equal(turned$rough[1L], 0)
  expect_false(is.unsorted(turned$rough))
  raw <- margins()
  for (far_end in c(TRUE, FALSE)) {
    found <- diagonal_penalty(raw$lag, far_end, 2L)
    turn <- kronecker(turned$turn, found$transform)
    parts <- do.call(cbind, lapply(seq_len(turned$n), function(k) {
      times_dose(found, turned, k)$parts
    }))
    same <- function(dose, lag, part, tolerance = 1e-7) {
      whole <- t(turn) %*% kronecker(raw$dose[[dose]], raw$lag[[lag]]) %*% turn
      expect_equal(whole, diag(parts[part, ]), tolerance = tolerance)
      whole
    }
    same("mass", "roughness", "roughness")
    if (far_end) {
      same("mass", "far_end", "far_end")
      whole <- t(turn) %*% kronecker(raw$dose$roughness, raw$lag$mass) %*% turn
      expect_equal(diag(whole), unname(parts["dose", ]), tolerance = 1e-7)
    } else {
      same("roughness", "mass", "dose")
    }
    # Nothing but what is in proportion to the dose is free of the third.
    expect_identical(unname(parts["dose", ] == 0),
                     rep(c(TRUE, FALSE), c(6L, 24L)))
  }
  expect_error(turned_dose_basis(dose_spline(4, degree = 1), "a"),
               class = "vigitensor_error_smooth")
})

test_that("a surface is where the penalised likelihood of coxph is largest", {
  study <- surface_study(1)
  pieces <- surface_rows(study, 12)
  doses <- pieces$feature
  for (smooth in list("reml", "aic", wce_smooth(far_end = FALSE),
                      wce_smooth(lambda = c(2, 30, 5)))) {
    fit <- surface_fit(study, smooth)
    expect_true(fit$converged)
    pieces$feature <- surface_columns(fit, doses)
    peer <- coxph_at(pieces, unname(coef(fit)))
    expect_equal(fit$loglik[2L], peer$loglik[1L], tolerance = 1e-10)
    theta <- fit$smoothing$theta
    score <- colSums(stats::residuals(peer, "score"))
    se <- sqrt(diag(fit$smoothing$bayes))
    expect_lt(max(abs(score - theta * coef(fit)) * se), 1e-7)
    info <- solve(peer$var, tol = 1e-25)
    bayes <- solve(info + diag(theta), tol = 1e-25)
    expect_equal(fit$df, sum(diag(bayes %*% info)), tolerance = 1e-6)
    told <- smoothness(fit)
    expect_identical(told$term, rep("exposure(\"a\")", nrow(told)))
    expect_equal(told$edf[1L] + 2, fit$df, tolerance = 1e-6)
    extra <- eigen(fit$var - fit$smoothing$bayes, symmetric = TRUE)$values
    expect_gt(min(extra), -1e-9 * max(fit$var))
  }
})

# A smooth of mgcv with the columns and penalties of xt, by number of the row.
given_smooth <- function(env = parent.frame()) {
  make <- function(object, data, knots) {
    object$X <- object$xt$X[data[[object$term]], , drop = FALSE]
    object$S <- object$xt$S
    object$rank <- vapply(object$S, function(m) qr(m)$rank, 0L)
    object$null.space.dim <- ncol(object$X) - qr(Reduce(`+`, object$S))$rank
    object$C <- matrix(0, 0L, ncol(object$X))
    object$no.rescale <- TRUE
    structure(object, class = "given.smooth")
  }
  columns <- function(object, data) {
    object$xt$X[data[[object$term]], , drop = FALSE]
  }
  registerS3method("smooth.construct", "given.smooth.spec", make,
                   asNamespace("mgcv"))
  registerS3method("Predict.matrix", "given.smooth", columns,
                   asNamespace("mgcv"))
}

test_that("REML is mgcv's with the Kronecker products as matrices", {
  # bam() has the matrices of the bases as they are written; the Poisson model
  # of the pairs has the likelihood of Breslow's ties. Both choose lambda on the
  # quadratic model, and here none is infinite.
  skip_if_not_installed("mgcv")
  given_smooth()
  study <- surface_study(17, n = 110L, effect = 0.04, power = 2)
  spline <- dose_spline(4, 2)
  fit <- surface_fit(study, wce_smooth(far_end = FALSE), spline = spline,
                     ties = "breslow", nknots = 1)
  pieces <- surface_rows(study, 12)
  pairs <- pieces[pieces$exit %in% pieces$exit[pieces$event == 1], ]
  pairs$time <- factor(pairs$exit)
  pairs$number <- seq_len(nrow(pairs))
  lag_basis <- wce_basis(12, wce_knots(12, 1))
  g <- dose_columns(spline, as.vector(pairs$feature))
  cross <- do.call(cbind, lapply(seq_len(spline$n), function(k) {
    matrix(g[, k], nrow(pairs)) %*% lag_basis
  }))
  raw <- margins(nknots = 1, spline = spline)
  matrices <- list(kronecker(raw$dose$mass, raw$lag$roughness),
                   kronecker(raw$dose$roughness, raw$lag$mass))
  peer <- mgcv::bam(
    event ~ 0 + time + sex + age +
      s(number, bs = "given", k = ncol(cross),
        xt = list(X = cross, S = matrices)),
    stats::poisson(), pairs, method = "fREML",
    control = mgcv::gam.control(epsilon = 1e-11, maxit = 500)
  )
  at <- grepl("number", names(coef(peer)))
  table <- dose_response(fit, doses = c(0.5, 1, 2, 4), lag = 1:12)
  surface <- dose_columns(spline, c(0.5, 1, 2, 4)) %*%
    t(lag_basis %*% matrix(coef(peer)[at], ncol(lag_basis)))
  # bam() stops by its deviance, and may be 1e-5 standard errors away.
  expect_lt(max(abs(table$log_hr - as.vector(surface)) / table$se), 1e-5)
  expect_equal(sum(peer$edf[at]), smoothness(fit)$edf[1L], tolerance = 1e-5)
  expect_equal(unname(peer$sp), fit$smoothing$lambda, tolerance = 1e-4)
})

test_that("no penalty is the cross-basis; an endless one is proportional", {
  study <- surface_study(2)
  spline <- dose_spline(4, 2)
  # Columns for one knot each way: more would run away in so small a study.
  plain <- surface_fit(study, "none", spline, nknots = 0)
  light <- surface_fit(study, wce_smooth(far_end = FALSE,
                                         lambda = c(1e-9, 1e-9)),
                       spline, nknots = 0)
  expect_equal(light$loglik, plain$loglik, tolerance = 1e-8)
  expect_equal(light$df, plain$df, tolerance = 1e-5)
  at <- list(doses = c(1, 3), lag = 1:12)
  expect_equal(do.call(dose_response, c(list(light), at))$log_hr,
               do.call(dose_response, c(list(plain), at))$log_hr,
               tolerance = 1e-5)
  # An endless penalty along the dose is the penalised weight function of the
  # dose as it is, whose lambda counts the mean square of the dose, 16 / 3.
  lambda <- c(0.5, 40)
  flat <- surface_fit(study, wce_smooth(lambda = c(lambda, 1e13)), spline)
  line <- smooth_fit(study, wce_smooth(lambda = lambda * 16 / 3), cutoff = 12,
                     nknots = 2)
  expect_equal(flat$loglik, line$loglik, tolerance = 1e-8)
  expect_equal(flat$df, line$df, tolerance = 1e-6)
  expect_equal(dose_response(flat, 3, lag = 1:12)$log_hr,
               3 * weight_function(line)$weight, tolerance = 1e-6)
})

test_that("engines and replicates agree on a surface", {
  study <- surface_study(3, n = 60L)
  call <- quote(wce(Surv(entry, exit, event) ~ sex +
                      exposure("a", dose = dose_spline(4, 2)),
                    data = study$people, id = person_id,
                    records = study$records, cutoff = 12, nknots = 0,
                    smooth = "reml", engine = engine))
  engine <- "reference"
  one <- eval(call)
  for (engine in setdiff(engines_here(), "reference")) {
    other <- eval(call)
    expect_equal(other$loglik, one$loglik, tolerance = 1e-9)
    expect_equal(other$df, one$df, tolerance = 1e-6)
    tables <- lapply(list(one, other), dose_response, c(1, 3), lag = c(1, 9))
    expect_equal(tables[[2L]]$log_hr, tables[[1L]]$log_hr, tolerance = 1e-6)
    expect_equal(tables[[2L]]$se, tables[[1L]]$se, tolerance = 1e-5)
  }
  engine <- one_engine()
  fit <- eval(call)
  for (reselect in c(FALSE, TRUE)) {
    drawn <- bootstrap(fit, 2, seed = 4, reselect = reselect, progress = FALSE,
                       engine = "reference")
    expect_identical(ncol(drawn$coefficients), length(coef(fit)))
    expect_true(all(drawn$converged))
    if (one_engine() == "reference") next
    again <- bootstrap(fit, 2, seed = 4, reselect = reselect, progress = FALSE)
    # Curves: where lambda is infinite a coefficient is a small number.
    curves <- lapply(list(drawn, again), function(b) {
      surface_columns(fit, diag(12) * 3) %*% t(b$coefficients[, -1L])
    })
    expect_equal(curves[[2L]], curves[[1L]], tolerance = 1e-5)
  }
})

test_that("the knots of a surface are few, unless they are given", {
  study <- surface_study(4)
  fit <- smooth_fit(study, formula = surface_formula(), cutoff = 50)
  expect_length(fit$exposures, 5L)
  expect_identical(ncol(fit$exposures[[1L]]$basis_matrix), 10L)
  given <- surface_fit(study, spline = dose_spline(4, numeric(), 3))
  expect_length(given$exposures, 3L)
  # The first column of the turned basis is in proportion to the dose.
  g <- dose_columns(given$exposures[[1L]]$response, c(0, 1, 2, 4))
  expect_equal(g[, 1L], sqrt(3) * c(0, 1, 2, 4) / 4)
})
