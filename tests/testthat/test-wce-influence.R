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

test_that("it is what refits without a person say, to first order", {
  study <- random_study(122, n = 120L)
  fit_of <- function(people) {
    wce(Surv(entry, exit, event) ~ sex + age + exposure("a"), data = people,
        id = person_id, records = study$records, cutoff = 15, nknots = 0,
        constrained = "right", engine = engines_here()[length(engines_here())])
  }
  people <- study$people
  records <- study$records
  fit <- fit_of(people)
  fit$call$data <- quote(people)
  fit$call$records <- quote(records)
  found <- influence(fit)
  some <- c(found$top$id[1:4], "17", "60")
  exact <- t(vapply(some, function(id) {
    coef(fit) - coef(fit_of(people[people$person_id != as.integer(id), ]))
  }, coef(fit)))
  first <- found$change[some, ]
  scale <- sqrt(diag(vcov(fit)))
  error <- sweep(exact - first, 2, scale, `/`)
  size <- sweep(exact, 2, scale, `/`)
  # Terms of second order: the most influential of 120 people are told to a
  # fifth of their effect.
  expect_lt(max(abs(error)), 0.2 * max(abs(size)))
  expect_gt(cor(as.vector(exact / rep(scale, each = 6)),
                as.vector(first / rep(scale, each = 6))), 0.98)
  lost <- vapply(some, function(id) {
    without <- fit_of(people[people$person_id != as.integer(id), ])
    # Twice the fall of the likelihood of all when the others decide.
    sum((coef(fit) - coef(without)) *
          solve(vcov(fit), coef(fit) - coef(without)))
  }, 0)
  expect_equal(unname(found$size[some]), unname(lost), tolerance = 0.3)
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
