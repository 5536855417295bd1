# Covariances of penalised fits.

test_that("the average over lambda is the sum over fits at each lambda", {
  withr::local_seed(6)
  p <- 10
  info <- crossprod(matrix(rnorm(40 * p), 40))
  model <- list(at = rnorm(p), value = -50, score = rnorm(p), info = info)
  parts <- matrix(0, 3, p)
  parts[1L, 3:6] <- runif(4)
  parts[2L, 2:6] <- runif(5)
  parts[3L, 8:10] <- 1
  expect_identical(unname(lengths(split(1:3, part_terms(parts)))), 2:1)
  for (rho in list(c(2, 1, 3), c(24, 2, 22))) for (own in list(1:2, 3L)) {
    range <- smoothing_range(parts, info)
    found <- averaged_term(model, parts, rho, own, range)
    middle <- pmin(rho[own], range$middle[own] + 8)
    points <- expand.grid(lapply(middle, `+`, seq(-9, 9, by = 1.5)))
    judged <- lapply(seq_len(nrow(points)), function(k) {
      judge_smoothing(model, parts, replace(rho, own, unlist(points[k, ])),
                      "reml")
    })
    density <- vapply(judged, `[[`, 0, "value") - rowSums(points) / 2
    weight <- exp(density - max(density)) / sum(exp(density - max(density)))
    at_rho <- judge_smoothing(model, parts, rho, "reml")
    expected <- Reduce(`+`, Map(function(one, w) {
      w * (one$v - at_rho$v + tcrossprod(one$b - at_rho$b))
    }, judged, weight))
    expect_equal(found, expected, tolerance = 1e-6)
  }
})

test_that("a robust variance replaces the part that comes from sampling", {
  study <- random_study(8, n = 60L)
  fit <- smooth_fit(study, robust = TRUE)
  plain <- smooth_fit(study)
  expect_equal(fit$naive.var, plain$var)
  score <- residuals(plain, "score", data = study$people,
                     records = study$records)
  between <- fit$smoothing$bayes %*% crossprod(score) %*% fit$smoothing$bayes
  expect_equal(unname(fit$var), unname(plain$var) -
                 fit$smoothing$frequentist + between, tolerance = 1e-6)
})
