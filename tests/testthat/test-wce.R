# wce() with the reference engine: against coxph on a design written out by
# hand, and the invariances every fit must have.

study_fit <- function(people, records, ..., cutoff = 20, nknots = 1,
                      engine = "reference") {
  suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + age + exposure("a"), data = people,
        id = person_id, records = records, cutoff = cutoff, nknots = nknots,
        engine = engine, ...),
    classes = "vigitensor_warning"
  )
}

test_that("a fit is coxph on features added up day by day", {
  study <- random_study(11)
  people <- study$people
  fit <- study_fit(people, study$records)
  basis <- wce_basis(20, wce_knots(20, 1))
  times <- sort(unique(people$exit[people$event == 1]))
  split_people <- survival::survSplit(
    Surv(entry, exit, event) ~ ., people, cut = times
  )
  features <- t(vapply(seq_len(nrow(split_people)), function(i) {
    p <- split_people[i, ]
    mine <- study$records[study$records$person_id == p$person_id &
                            study$records$drug == "a", ]
    total <- numeric(ncol(basis))
    for (lag in 1:20) {
      day <- p$exit - lag
      dose <- sum(mine$dose[mine$start <= day & mine$stop > day])
      total <- total + dose * basis[lag, ]
    }
    total
  }, numeric(ncol(basis))))
  oracle <- survival::coxph(
    Surv(entry, exit, event) ~ sex + age + features, split_people,
    control = survival::coxph.control(eps = 1e-14, toler.chol = 1e-15,
                                      iter.max = 60)
  )
  # Both at their optimum: coefficients to 1e-8, log-likelihood to 1e-10.
  expect_equal(unname(coef(fit)), unname(coef(oracle)), tolerance = 1e-8)
  expect_equal(fit$loglik, oracle$loglik, tolerance = 1e-10)
  expect_equal(unname(fit$var), unname(vcov(oracle)), tolerance = 1e-7)
  expect_lt(max(abs(fit$score)), 1e-6)
  expect_identical(fit$nevent, sum(people$event))
})

test_that("rows -> records -> rows give the same fit", {
  study <- random_study(12)
  # Unit rows know nothing of the time before entry.
  records <- study$records
  entry <- tapply(study$people$entry, study$people$person_id, min)
  first <- entry[as.character(records$person_id)]
  records$start <- pmax(records$start, first)
  records <- records[!is.na(first) & records$stop > records$start, ]
  units <- to_unit_rows(study$people, records)
  from_records <- study_fit(study$people, records)
  from_rows <- suppressWarnings(
    wce(Surv(entry, exit, event) ~ sex + age + exposure(dose), data = units,
        id = person_id, cutoff = 20, nknots = 1, engine = "reference"),
    classes = "vigitensor_warning"
  )
  expect_equal(unname(coef(from_rows)), unname(coef(from_records)),
               tolerance = 1e-12)
  expect_equal(from_rows$loglik, from_records$loglik, tolerance = 1e-12)
})

test_that("the answer does not depend on order, names, origin or splits", {
  study <- random_study(13)
  p <- study$people
  r <- study$records
  base <- study_fit(p, r)
  same <- function(fit) {
    expect_equal(coef(fit), coef(base), tolerance = 1e-10)
    expect_equal(fit$loglik, base$loglik, tolerance = 1e-12)
  }
  withr::local_seed(1)
  same(study_fit(p[sample(nrow(p)), ], r[sample(nrow(r)), ]))
  label <- function(x) transform(x, person_id = paste0("id", 99 - person_id))
  same(study_fit(label(p), label(r)))
  shift <- function(x, columns) {
    x[columns] <- x[columns] + 18000
    x
  }
  same(study_fit(shift(p, c("entry", "exit")), shift(r, c("start", "stop"))))
  # Every row cut in two, every record cut into single days.
  middle <- p$entry + (p$exit - p$entry) %/% 2
  cut <- rbind(transform(p, exit = middle, event = 0),
               transform(p, entry = middle))
  same(study_fit(cut[cut$exit > cut$entry, ], r))
  n <- r$stop - r$start
  daily <- r[rep(seq_len(nrow(r)), n), ]
  daily$start <- sequence(n, from = r$start)
  daily$stop <- daily$start + 1
  same(study_fit(p, daily))
})

test_that("lag_in is a shift of the records", {
  study <- random_study(14)
  shifted <- transform(study$records, start = start + 3, stop = stop + 3)
  a <- study_fit(study$people, study$records, cutoff = 23, lag_in = 3)
  b <- study_fit(study$people, shifted, cutoff = 20)
  expect_equal(unname(coef(a)), unname(coef(b)), tolerance = 1e-12)
  expect_identical(a$exposures[[1]]$lags, 4:23)
})

test_that("without a constraint the basis does not matter", {
  study <- random_study(15)
  ours <- study_fit(study$people, study$records, nknots = 0:2)
  peer <- study_fit(study$people, study$records, nknots = 0:2, basis = "WCE")
  expect_equal(ours$selection$loglik, peer$selection$loglik, tolerance = 1e-10)
  weights <- function(fit) {
    term <- fit$exposures[[1]]
    drop(term$basis_matrix %*% coef(fit)[term$index])
  }
  expect_equal(weights(ours), weights(peer), tolerance = 1e-6)
})

test_that("a grid picks the best by its criterion", {
  study <- random_study(16)
  for (criterion in c("bic", "aic")) {
    fit <- study_fit(study$people, study$records, nknots = 0:2,
                     criterion = criterion)
    s <- fit$selection
    expect_identical(s$nknots, 0:2)
    expect_equal(s$aic, -2 * s$loglik + 2 * s$df)
    expect_equal(s$bic, -2 * s$loglik + log(fit$nevent) * s$df)
    expect_identical(which(s$selected), which.min(s[[criterion]]))
    expect_equal(fit$loglik[2], s$loglik[s$selected])
    expect_identical(fit$exposures[[1]]$nknots, s$nknots[s$selected])
  }
})

test_that("two drugs, strata, offset, factors and the dot", {
  study <- random_study(17, n = 80L, drugs = 2L)
  p <- study$people
  run <- function(formula, ...) {
    suppressWarnings(
      wce(formula, data = p, id = person_id, records = study$records,
          cutoff = 20, nknots = 0, engine = "reference", ...),
      classes = "vigitensor_warning"
    )
  }
  fit <- run(Surv(entry, exit, event) ~ exposure("a") + sex * age +
               exposure("b", cutoff = 12, constrained = "right", nknots = 1) +
               strata(region) + offset(dose_group / 10))
  expect_identical(names(coef(fit)), c(
    "sexm", "age", "sexm:age", paste0("exposure(\"a\")", 1:4),
    paste0("exposure(\"b\")", 1:3)
  ))
  expect_identical(fit$exposures[[2]]$index, 8:10)
  expect_identical(fit$selection$nknots, "0+1")
  dot <- run(Surv(entry, exit, event) ~ . + exposure("a"))
  expect_identical(names(coef(dot))[1:4],
                   c("sexm", "age", "dose_group", "regionsouth"))
  without_offset <- run(Surv(entry, exit, event) ~ exposure("a") +
                          strata(region))
  expect_length(coef(without_offset), 4)
})

test_that("a fit holds no patient's data and survives saveRDS", {
  study <- random_study(18)
  ballast <- rnorm(1e5)
  fit <- study_fit(study$people, study$records)
  path <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, path)
  expect_equal(coef(readRDS(path)), coef(fit))
  # Neither the formula's environment nor a call with the tables in it.
  called <- do.call(study_fit, study)
  expect_lt(length(serialize(fit, NULL)), 5e4)
  expect_lt(length(serialize(called, NULL)), 5e4)
  expect_length(ballast, 1e5)
})
