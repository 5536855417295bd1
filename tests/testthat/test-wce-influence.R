# Influence of people: the identity with dfbeta, and refits without them.

test_that("influence is coxph's dfbeta, added up by person", {
  for (way in ways_here()) {
    case <- results_case(121, way[1L], way[2L])
    of <- function(...) influence(case$fit, ..., data = case$study$people,
                                  records = case$study$records)
    dfbeta <- unname(residuals(case$peer, "dfbeta",
                               collapse = case$pieces$person_id))
    found <- of()
    expect_equal(unname(found$change), dfbeta, tolerance = 1e-6)
    information <- solve(vcov(case$peer))
    expect_equal(unname(found$size),
                 rowSums((dfbeta %*% information) * dfbeta), tolerance = 1e-5)
    ratio <- of("hazard_ratio", profile = c(2, 1, 1), term = 1)
    index <- case$fit$exposures[[1]]$index
    each <- drop(dfbeta[, index] %*% colSums(
      c(2, 1, 1) * case$bases$a[1:3, ]))
    expect_equal(unname(ratio$change), each, tolerance = 1e-6)
    weight <- of("weight", term = 2)
    moved <- dfbeta[, case$fit$exposures[[2]]$index] %*% t(case$bases$b)
    se <- weight_function(case$fit, 2)$se
    expect_equal(unname(weight$size),
                 apply(abs(sweep(moved, 2, se, `/`)), 1, max),
                 tolerance = 1e-6)
    pick <- cbind(seq_len(nrow(moved)), weight$change$lag)
    expect_equal(weight$change$change, moved[pick], tolerance = 1e-6)
  }
})

fit_of <- function(people, records, ties = "breslow", ...) {
  engines <- engines_here()
  wce(Surv(entry, exit, event) ~ sex + age + exposure("a"), data = people,
      id = person_id, records = records, cutoff = 15, nknots = 0,
      constrained = "right", engine = engines[length(engines)], ties = ties,
      ...)
}

test_that("it is the derivative of the estimates by a person's weight", {
  study <- random_study(122, n = 120L)
  people <- study$people
  records <- study$records
  fit <- fit_of(people, records)
  found <- influence(fit)
  at_weight <- function(id, w) {
    people$w <- ifelse(people$person_id == as.integer(id), w, 1)
    coef(fit_of(people, records, weights = w, robust = FALSE))
  }
  some <- c(found$top$id[1:3], "60")
  h <- 1e-3
  slope <- t(vapply(some, function(id) {
    (at_weight(id, 1 + h) - at_weight(id, 1 - h)) / (2 * h)
  }, coef(fit)))
  # Central differences: terms of order h^2.
  expect_equal(found$change[some, ], slope, tolerance = 1e-4)
})

test_that("it is what refits without a person say, to first order", {
  study <- random_study(122, n = 120L)
  people <- study$people
  records <- study$records
  fit <- fit_of(people, records, "efron")
  found <- influence(fit)
  some <- c(found$top$id[2:7], "17", "60")
  exact <- t(vapply(some, function(id) {
    rest <- people[people$person_id != as.integer(id), ]
    coef(fit) - coef(fit_of(rest, records, "efron"))
  }, coef(fit)))
  scale <- rep(sqrt(diag(vcov(fit))), each = length(some))
  first <- found$change[some, ] / scale
  exact <- exact / scale
  # Of two terms in the expansion by the weight this has the first; the most
  # influential of 120 people have moves of half a standard error.
  expect_gt(cor(as.vector(exact), as.vector(first)), 0.98)
  expect_lt(max(abs(exact - first)), 0.25 * max(abs(exact)))
})

test_that("prints show no id, tables and curves do", {
  study <- random_study(123)
  people <- study$people
  people$person_id <- paste0("patient-", people$person_id)
  records <- study$records
  records$person_id <- paste0("patient-", records$person_id)
  fit <- wce(Surv(entry, exit, event) ~ sex + age + exposure("a"),
             data = people, id = person_id, records = records, cutoff = 12,
             nknots = 0, engine = "reference")
  for (found in list(influence(fit), influence(fit, "weight", top = 3),
                     influence(fit, "hazard_ratio", profile = 1))) {
    shown <- capture.output(print(found))
    expect_no_match(shown, "patient-")
    expect_match(shown[1], "Influence of 40 people")
    expect_match(as.data.frame(found)$id, "^patient-")
    expect_false(is.unsorted(rev(found$top$size)))
  }
  curves <- influence(fit, "weight", top = 3)$curves
  expect_identical(nrow(curves), 4L * 12L)
  fitted <- weight_function(fit)
  expect_equal(curves$weight[is.na(curves$id)], fitted$weight)
  expect_error(influence(fit, "hazard_ratio"),
               class = "vigitensor_error_profile")
  expect_error(influence(fit, profile = 1),
               class = "vigitensor_error_profile")
  expect_error(influence(fit, "hazard_ratio", profile = list(1, 2)),
               class = "vigitensor_error_profile")
  expect_error(influence(fit, top = 0), class = "vigitensor_error_top")
  expect_error(influence(fit, "people"), class = "vigitensor_error_what")
})
