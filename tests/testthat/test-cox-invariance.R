# What must not change an answer of cox(): order of rows, names of people,
# groups and strata, rows cut in two, moved time, the number of threads.

fit_of <- function(data) {
  cox(Surv(start, stop, event) ~ x1 + bin + group + strata(site) + offset(off),
      data, weights = part, cluster = person)
}

# Sums in another order differ by rounding; the optimum is where the score
# vanishes, to 1e-9 of a standard error.
expect_same_answer <- function(a, b, info) {
  expect_equal(a$loglik, b$loglik, tolerance = 1e-12, info = info)
  expect_within(a$coefficients, b$coefficients, 1e-9, info)
  for (name in c("var", "naive.var", "wald.test", "rscore", "means")) {
    expect_equal(a[[name]], b[[name]], tolerance = 1e-8, info = paste(info,
                                                                      name))
  }
  expect_equal(a$concordance[6:7], b$concordance[6:7], tolerance = 1e-8,
               info = info)
}

test_that("what must not matter to cox()", {
  skip_if_no_engine()
  for (seed in seq_len(if (in_full()) 100L else 6L)) {
    data <- random_cox_data(seed, 80L)
    data <- data[!is.na(data$x2), ]
    fit <- fit_of(data)
    if (any(fit$infinite)) next
    others <- withr::with_seed(seed, list(
      shuffled = data[sample(nrow(data)), ],
      people = transform(data, person = paste0("p", match(person, sample(
        unique(person)
      )))),
      strata = transform(data, site = letters[match(site, sample(4))]),
      later = transform(data, start = start + 1000, stop = stop + 1000),
      units = transform(data, start = start / 8, stop = stop / 8)
    ))
    for (name in names(others)) {
      expect_same_answer(fit_of(others[[name]]), fit, paste(seed, name))
    }
    residuals <- residuals(fit_of(others$shuffled), "dfbeta")
    shuffled <- match(rownames(others$shuffled), rownames(data))
    expect_equal(unname(residuals),
                 unname(residuals(fit, "dfbeta"))[shuffled, ],
                 tolerance = 1e-8, info = seed)
  }
})

test_that("rows of cox() may be cut in two", {
  skip_if_no_engine()
  for (seed in seq_len(if (in_full()) 100L else 6L)) {
    data <- random_cox_data(seed, 80L)
    fit <- fit_of(data)
    if (any(fit$infinite)) next
    # Wherever it is cut, also at the time of an event of others.
    middle <- withr::with_seed(seed, data$start + ceiling(
      (data$stop - data$start) * stats::runif(nrow(data))
    ))
    long <- middle < data$stop
    first <- transform(data, stop = ifelse(long, middle, stop),
                       event = ifelse(long, 0L, event))
    second <- transform(data, start = middle)[long, ]
    cut <- fit_of(rbind(first, second))
    expect_equal(cut$loglik, fit$loglik, tolerance = 1e-12, info = seed)
    expect_within(cut$coefficients, fit$coefficients, 1e-9, seed)
    expect_equal(cut$var, fit$var, tolerance = 1e-8, info = seed)
  }
})

test_that("the number of threads changes no bit of cox()", {
  skip_if_no_engine()
  data <- random_cox_data(4, 2000L)
  fits <- lapply(1:3, function(threads) {
    withr::local_options(vigitensor.threads = threads)
    fit_of(data)
  })
  for (name in c("coefficients", "var", "loglik", "residuals", "concordance")) {
    expect_identical(fits[[1L]][[name]], fits[[2L]][[name]], info = name)
    expect_identical(fits[[1L]][[name]], fits[[3L]][[name]], info = name)
  }
})

test_that("the score of cox() is zero at the optimum", {
  skip_if_no_engine()
  for (seed in 1:5) {
    data <- random_cox_data(seed, 100L)
    fit <- fit_of(data)
    if (any(fit$infinite)) next
    score <- colSums(residuals(fit, "score", weighted = TRUE))
    size <- sqrt(diag(solve(fit$naive.var)))
    expect_lt(max(abs(score / size)), 1e-9)
  }
})
