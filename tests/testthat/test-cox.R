# cox() stores what coxph stores, at its optimum: on survival's own data sets,
# with every option.

library(survival)

test_that("right-censored data", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ age, lung))
  expect_like_coxph(cox(Surv(time, status) ~ age + sex + ph.karno, lung))
  expect_like_coxph(cox(Surv(time, status) ~ trt * celltype + karno, veteran))
  expect_like_coxph(cox(Surv(futime, fustat) ~ age + factor(rx), ovarian))
  expect_like_coxph(cox(Surv(time, status) ~ rx + strata(litter), rats))
  expect_like_coxph(cox(Surv(futime, death) ~ sex + age + hgb, mgus2))
  expect_like_coxph(cox(Surv(futime, death) ~ sex + log(creatinine), flchain,
                        subset = futime > 0))
  expect_like_coxph(cox(Surv(time, status) ~ rx + node4 + strata(etype), colon,
                        ties = "breslow"))
  expect_like_coxph(cox(Surv(edrel, rel) ~ histol * instit + age, nwtco))
  expect_like_coxph(cox(Surv(futime, death) ~ trt + sex, myeloid))
})

test_that("(start, stop] data, delayed entry, recurrent events", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(start, stop, event) ~ (age + surgery) *
                          transplant, heart))
  expect_like_coxph(cox(Surv(start, stop, event) ~ age + year + surgery +
                          transplant, jasa1))
  expect_like_coxph(cox(Surv(tstart, tstop, status) ~ treat + inherit + age,
                        cgd, id = id))
  expect_like_coxph(cox(Surv(start, stop, event == 1) ~ rx + size + number +
                          strata(enum) + cluster(id), bladder2))
  late <- transform(mgus2, entry = age, exit = age + (futime + 0.5) / 12)
  expect_like_coxph(cox(Surv(entry, exit, death) ~ sex + hgb, late))
  first <- subset(pbcseq, !duplicated(id))
  expect_like_coxph(cox(Surv(futime, status == 2) ~ log(bili) + albumin + trt,
                        first))
  seq2 <- do.call(rbind, lapply(split(pbcseq, pbcseq$id), function(d) {
    d$start <- d$day
    d$stop <- c(d$day[-1], max(d$futime[1], max(d$day) + 1))
    d$death <- as.integer(d$status == 2 & seq_len(nrow(d)) == nrow(d))
    d
  }))
  expect_like_coxph(cox(Surv(start, stop, death) ~ log(bili) + albumin +
                          edema + cluster(id), seq2))
  expect_like_coxph(cox(Surv(start, stop, death) ~ log(bili) + strata(sex) +
                          splines::ns(age, 3), seq2, ties = "breslow"))
})

test_that("weights, offsets, strata, clusters", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, lung,
                        weights = ph.karno))
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, lung,
                        weights = ph.karno / 60))
  expect_like_coxph(cox(Surv(start, stop, event) ~ age + surgery, heart,
                        weights = year + 1, cluster = id))
  expect_like_coxph(cox(Surv(time, status) ~ sex + offset(age / 50), lung))
  expect_like_coxph(cox(Surv(time, status) ~ age + strata(sex, inst) +
                          offset(wt.loss / 100), lung, x = TRUE))
  expect_like_coxph(cox(Surv(time, status) ~ age * strata(sex), lung))
  expect_like_coxph(cox(Surv(time, status) ~ age + cluster(inst), lung))
  expect_like_coxph(cox(Surv(time, status) ~ age, lung, cluster = inst,
                        init = 0.1))
  expect_like_coxph(cox(Surv(start, stop, event) ~ age, heart, id = id,
                        robust = TRUE))
  expect_like_coxph(cox(Surv(time, status) ~ age, lung, robust = TRUE,
                        cluster = inst, weights = ph.karno / 50))
  expect_like_coxph(cox(Surv(start, stop, event) ~ age, heart, id = id,
                        robust = FALSE))
})

test_that("exact ties", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, lung, ties = "exact"))
  expect_like_coxph(cox(Surv(time, status) ~ age + strata(sex), lung,
                        method = "exact"))
  # A matched study is a stratified Cox model with exact ties: clogit does so.
  fit <- cox(Surv(rep(1, nrow(infert)), case) ~ spontaneous + induced +
               strata(stratum), infert, ties = "exact")
  peer <- clogit(case ~ spontaneous + induced + strata(stratum), infert,
                 control = tight_control())
  expect_equal(coef(fit), coef(peer), tolerance = 1e-8)
  expect_equal(fit$var, peer$var, tolerance = 1e-7)
  # coxph forgets the class of this one.
  fit <- cox(Surv(start, stop, event) ~ age + surgery, heart, ties = "exact")
  peer <- coxph(Surv(start, stop, event) ~ age + surgery, heart,
                ties = "exact", control = tight_control())
  for (name in c("coefficients", "var", "loglik", "residuals", "score")) {
    expect_equal(fit[[name]], peer[[name]], tolerance = 1e-8, info = name)
  }
})

test_that("ridge penalties", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ ridge(age, ph.ecog, theta = 1) +
                          sex, lung))
  expect_like_coxph(cox(Surv(time, status) ~ ridge(age, ph.ecog, theta = 3),
                        lung, cluster = inst))
  expect_like_coxph(cox(Surv(time, status) ~ ridge(age, sex, theta = 1,
                                                   scale = FALSE) + ph.ecog,
                        lung, weights = ph.karno))
  expect_like_coxph(cox(Surv(start, stop, event) ~ ridge(age, year, theta = 5),
                        heart))
  # With strata and (start, stop] rows the residuals of coxph 3.5 do not add up
  # to zero. Ours are those of an unpenalised model at the same coefficients.
  fit <- cox(Surv(start, stop, event) ~ ridge(age, year, theta = 5) +
               strata(surgery), heart)
  peer <- coxph(Surv(start, stop, event) ~ age + year + strata(surgery), heart,
                init = unname(coef(fit)), iter.max = 0)
  expect_equal(residuals(fit), residuals(peer), tolerance = 1e-10)
  expect_equal(sum(residuals(fit)), 0, tolerance = 1e-10)
  # With weights and (start, stop] rows coxph 3.5 says that its inner loop
  # failed, and is not at the optimum. Ours is: score and penalty balance.
  fit <- cox(Surv(start, stop, event) ~ ridge(age, year, theta = 1), heart,
             weights = year + 1)
  there <- cox(Surv(start, stop, event) ~ age + year, heart, iter.max = 0,
               weights = year + 1, init = unname(coef(fit)), robust = FALSE)
  score <- colSums(residuals(there, "score", weighted = TRUE))
  expect_equal(unname(score), unname(fit$coxlist2$second * coef(fit)),
               tolerance = 1e-9)
})

test_that("a model without covariates, with and without an offset", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ 1, lung, weights = age))
  expect_like_coxph(cox(Surv(time, status) ~ offset(age / 10), lung,
                        x = TRUE, model = TRUE))
  expect_like_coxph(cox(Surv(start, stop, event) ~ strata(surgery), heart))
})

test_that("starting values and no iteration", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, lung,
                        init = c(0.1, 0.5),
                        control = coxph.control(iter.max = 0)))
  expect_like_coxph(cox(Surv(start, stop, event) ~ age, heart, init = 0.2,
                        control = coxph.control(iter.max = 0), cluster = id))
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, lung,
                        init = c(0.1, 0.5)))
})

test_that("missing values, subsets, model frames", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(time, status) ~ ph.karno + meal.cal, lung))
  expect_like_coxph(cox(Surv(time, status) ~ ph.karno + meal.cal, lung,
                        na.action = na.exclude))
  expect_like_coxph(cox(Surv(time, status) ~ ph.karno + age, lung,
                        subset = sex == 1 & inst < 10, model = TRUE, x = TRUE))
  expect_like_coxph(cox(Surv(time, status) ~ age, lung, y = FALSE))
  expect_like_coxph(cox(Surv(time, status) ~ ., lung[-1]))
  lines <- na.omit(lung)
  expect_like_coxph(cox(Surv(time, status) ~ ph.karno, lines))
  rownames(lines) <- rev(rownames(lines))
  expect_like_coxph(cox(Surv(time, status) ~ ph.karno, lines, x = TRUE))
})

test_that("times that differ by rounding are ties, unless timefix says no", {
  skip_if_no_engine()
  near <- lung
  near$time <- near$time / 365.25 + rep(c(0, 1e-13), 114)
  near <- rbind(near, near)
  near$time <- near$time + rep(c(0, 1e-14), each = 228)
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, near))
  expect_like_coxph(cox(Surv(time, status) ~ age + sex, near,
                        control = tight_control(timefix = FALSE)))
  short <- data.frame(start = c(0, 0, 5, 0, 0), stop = c(5, 3, 5 + 1e-12, 4, 6),
                      event = c(1, 1, 1, 0, 1), x = c(1, 2, 0, 1, 0.3))
  expect_error(cox(Surv(start, stop, event) ~ x, short),
               class = "vigitensor_error_stop_before_start")
})

test_that("collinear columns are NA, named, and may be an error", {
  skip_if_no_engine()
  expect_warning(
    both <- expect_like_coxph(cox(Surv(time, status) ~ age + I(2 * age) + sex,
                                  lung)),
    class = "vigitensor_warning_collinear"
  )
  expect_identical(names(which(is.na(coef(both$fit)))), "I(2 * age)")
  expect_error(
    cox(Surv(time, status) ~ age + I(2 * age), lung, singular.ok = FALSE),
    class = "vigitensor_error_collinear"
  )
})

test_that("a ridge model with a dropped term has its degrees of freedom", {
  skip_if_no_engine()
  expect_warning(
    fit <- cox(Surv(time, status) ~ age + I(2 * age) + ridge(ph.ecog, sex,
                                                             theta = 2), lung),
    class = "vigitensor_warning_collinear"
  )
  peer <- coxph(Surv(time, status) ~ age + ridge(ph.ecog, sex, theta = 2), lung,
                control = tight_control())
  # coxph itself has NaN for the term that it dropped.
  expect_equal(fit$df, append(peer$df, 0, 1), tolerance = 1e-7)
  expect_equal(coef(fit)[-2], coef(peer), tolerance = 1e-8)
})

test_that("a likelihood that rises for ever is named, and as high", {
  skip_if_no_engine()
  for (ties in c("efron", "breslow", "exact")) {
    none <- transform(lung, dead = status == 2,
                      mark = as.integer(status == 1 & age > 60))
    expect_warning(
      fit <- cox(Surv(time, dead) ~ age + mark, none, ties = ties),
      class = "vigitensor_warning_infinite"
    )
    expect_identical(names(which(fit$infinite)), "mark")
    peer <- suppressWarnings(coxph(Surv(time, dead) ~ age + mark, none,
                                   ties = ties))
    expect_gt(fit$loglik[2], peer$loglik[2] * (1 + 1e-9))
    expect_equal(coef(fit)[["age"]], coef(peer)[["age"]], tolerance = 1e-6)
  }
  expect_output(print(fit), "still rises as these grow: mark")
})

test_that("too few steps are reported", {
  skip_if_no_engine()
  expect_warning(fit <- cox(Surv(time, status) ~ age + ph.ecog, lung,
                            iter.max = 2),
                 class = "vigitensor_warning_not_converged")
  expect_false(fit$converged)
})

test_that("the formula may live anywhere", {
  skip_if_no_engine()
  inner <- function(threshold, table) {
    formula <- Surv(time, status) ~ age + I(ph.karno > threshold)
    cox(formula, data = table)
  }
  fit <- inner(70, lung)
  peer <- coxph(Surv(time, status) ~ age + I(ph.karno > 70), lung,
                control = tight_control())
  expect_equal(unname(coef(fit)), unname(coef(peer)), tolerance = 1e-8)
  expect_equal(basehaz(fit), basehaz(peer), tolerance = 1e-8)
  time <- lung$time
  status <- lung$status
  age <- lung$age
  fit <- cox(Surv(time, status) ~ age)
  expect_equal(coef(fit), coef(coxph(Surv(time, status) ~ age)),
               tolerance = 1e-6)
  # survival::strata() is strata(), whether survival is attached or not.
  fit <- cox(survival::Surv(time, status) ~ age + survival::strata(sex), lung)
  peer <- coxph(Surv(time, status) ~ age + strata(sex), lung,
                control = tight_control())
  expect_equal(coef(fit), coef(peer), tolerance = 1e-8)
})

test_that("the reference engine gives the same object", {
  skip_if_no_engine()
  fit <- cox(Surv(start, stop, event) ~ age + strata(surgery) + cluster(id),
             heart)
  slow <- cox(Surv(start, stop, event) ~ age + strata(surgery) + cluster(id),
              heart, engine = "reference")
  expect_s3_class(slow, c("cox", "coxph"), exact = TRUE)
  expect_identical(slow$engine, "reference")
  same <- setdiff(names(fit), c("engine", "session", "gradient", of_the_way))
  expect_equal(unclass(fit)[same], unclass(slow)[same], tolerance = 1e-8)
  expect_identical(fit$call$formula, slow$call$formula)
})

test_that("the number of threads and the order of rows change nothing", {
  skip_if_no_engine()
  fits <- lapply(1:2, function(threads) {
    withr::local_options(vigitensor.threads = threads)
    cox(Surv(start, stop, event) ~ age + year + surgery, heart)
  })
  expect_identical(fits[[1]]$coefficients, fits[[2]]$coefficients)
  expect_identical(fits[[1]]$var, fits[[2]]$var)
  shuffled <- withr::with_seed(1, heart[sample(nrow(heart)), ])
  again <- cox(Surv(start, stop, event) ~ age + year + surgery, shuffled)
  expect_equal(coef(again), coef(fits[[1]]), tolerance = 1e-11)
  later <- cox(Surv(start + 1000, stop + 1000, event) ~ age + year + surgery,
               heart)
  expect_equal(coef(later), coef(fits[[1]]), tolerance = 1e-11)
})
