# The choice of lambda, against differences, fits at other lambdas, and mgcv on
# the Poisson form of the same likelihood.

test_that("derivatives of the criteria are those of differences", {
  withr::local_seed(4)
  p <- 9
  info <- crossprod(matrix(rnorm(30 * p), 30))
  model <- list(at = rnorm(p), value = -50, score = rnorm(p), info = info)
  parts <- rbind(c(0, 0, runif(4), 0, 0, 0), c(0, 0, 0, runif(3), 0, 0, 0),
                 c(rep(0, 6), 1, 2, 0))
  for (method in c("reml", "aic")) for (shift in c(-2, 1, 4)) {
    rho <- shift + c(0.3, -0.2, 1)
    value <- function(rho) judge_smoothing(model, parts, rho, method)$value
    here <- judge_smoothing(model, parts, rho, method)
    difference <- function(f, j) {
      e <- 1e-4 * (1:3 == j)
      (f(rho + e) - f(rho - e)) / 2e-4
    }
    slope <- vapply(1:3, function(j) difference(value, j), 0)
    expect_equal(here$gradient, slope, tolerance = 1e-6)
    curve <- vapply(1:3, function(j) {
      difference(function(r) judge_smoothing(model, parts, r, method)$gradient,
                 j)
    }, numeric(3))
    expect_equal(smoothing_curvature(model, parts, rho, method), curve,
                 tolerance = 1e-5)
  }
})

test_that("REML prefers its lambda, fitted anew at others", {
  study <- random_study(3, n = 80L)
  fit <- smooth_fit(study)
  for (j in 1:2) for (shift in c(-1.5, 1.5)) {
    lambda <- fit$smoothing$lambda * exp(shift * (1:2 == j))
    other <- smooth_fit(study, wce_smooth(lambda = lambda))
    expect_lte(other$smoothing$reml, fit$smoothing$reml + 1e-6)
  }
})

test_that("lambda is that of mgcv for the Poisson form of the likelihood", {
  # A Poisson model of the pairs with a free mean at every event time has the
  # likelihood of Breslow's ties, and the determinant of its intercepts does not
  # depend on the penalty. bam() chooses lambda on the quadratic model as well.
  skip_if_not_installed("mgcv")
  sim <- simulate_wce(100, design = "sylvestre", weights = "bilinear",
                      days = 200, seed = 1)
  study <- list(people = sim$people, records = sim$records)
  # Its lambda is finite: where it is not, mgcv stops somewhere on the way.
  fit <- smooth_fit(study, wce_smooth(far_end = FALSE), ties = "breslow",
                    cutoff = 60, nknots = 8,
                    formula = Surv(entry, exit, event) ~ exposure("drug"))
  basis <- fit$exposures[[1L]]$basis_matrix
  pieces <- oracle_rows(study$people, study$records, drug = "drug", cutoff = 60,
                        basis = function(lags) basis[lags, , drop = FALSE])
  times <- sort(unique(pieces$exit[pieces$event == 1]))
  pairs <- pieces[pieces$exit %in% times, ]
  pairs$time <- factor(pairs$exit)
  parts <- fit$exposures[[1L]]$parts
  peer <- mgcv::bam(
    event ~ 0 + time + feature, stats::poisson(), pairs,
    paraPen = list(feature = list(diag(parts[1L, ]))),
    method = "fREML",
    control = mgcv::gam.control(epsilon = 1e-11, maxit = 500)
  )
  beta <- coef(peer)[grepl("^feature", names(coef(peer)))]
  expect_lt(max(abs(beta - coef(fit)) / sqrt(diag(fit$var))), 1e-4)
  at <- grepl("^feature", names(coef(peer)))
  expect_equal(sum(peer$edf[at]), smoothness(fit)$edf[1L], tolerance = 1e-4)
  expect_equal(unname(peer$sp[1L]), fit$smoothing$lambda[1L], tolerance = 1e-3)
})

test_that("of several optima of REML the best is taken", {
  # From the middle of the range a climb ended at a rough curve here.
  skip_if_no_engine()
  fit <- function(smooth) {
    suppressWarnings(
      wce(Surv(entry, exit, event) ~ sex + age + exposure("drug_a"),
          data = claims_people, id = person_id, records = claims_dispensings,
          cutoff = 30, nknots = 5, smooth = smooth, engine = "cpu"),
      classes = "vigitensor_warning"
    )
  }
  best <- fit("reml")$smoothing$reml
  for (rough in c(0, 6, 18)) for (far in c(0, 10, 20)) {
    other <- fit(wce_smooth(lambda = exp(c(rough, far))))
    expect_gte(best, other$smoothing$reml - 1e-3)
  }
})
