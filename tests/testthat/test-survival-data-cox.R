# cox() on the data sets of survival with covariates that change, recurrent
# events and delayed entry: everything that coxph stores, at its optimum.

test_that("covariates that change: liver, heart, infections", {
  skip_if_no_engine()
  pbc2 <- pbc_rows()
  expect_like_coxph(cox(Surv(tstart, tstop, death == 2) ~ log(bili) +
                          log(protime), pbc2))
  expect_like_coxph(cox(Surv(tstart, tstop, death == 2) ~ log(bili) + albumin +
                          ascites + age + strata(sex), pbc2, ties = "breslow",
                        cluster = id))
  expect_like_coxph(cox(Surv(tstart, tstop, death > 0) ~
                          splines::ns(log(alk), 3) + edema * trt, pbc2,
                        na.action = na.exclude))
  jasa2 <- heart_rows()
  expect_like_coxph(cox(Surv(tstart, tstop, death) ~ graft * (age + surgery) +
                          years, jasa2))
  expect_like_coxph(cox(Surv(futime, fustat) ~ age + surgery, jasa,
                        ties = "exact"))
  cgd2 <- cgd_rows()
  expect_like_coxph(cox(Surv(tstart, tstop, infect) ~ treat + inherit + age +
                          cluster(id), cgd2))
  expect_like_coxph(cox(Surv(tstart, tstop, infect) ~ treat + strata(number),
                        cgd2, id = id, ties = "breslow"))
  expect_like_coxph(cox(Surv(tstart, tstop, infect) ~ treat + steroids +
                          splines::ns(age, 3) + strata(hos.cat), cgd2,
                        subset = number < 4, cluster = id))
  dnase <- dnase_rows()
  expect_like_coxph(cox(Surv(tstart, tstop, infect) ~ trt + fev + cluster(id),
                        dnase))
  expect_like_coxph(cox(Surv(tstart, tstop, infect) ~ trt * fev + strata(inst),
                        dnase, id = id, ties = "breslow"))
})

test_that("recurrences: bladder, rats, kidneys, valves", {
  skip_if_no_engine()
  bladder <- subset(bladder1, start < stop)
  bladder$rtumor <- suppressWarnings(as.numeric(as.character(bladder$rtumor)))
  expect_like_coxph(cox(Surv(start, stop, status == 1) ~ treatment + number +
                          size + strata(enum), bladder, cluster = id))
  expect_like_coxph(cox(Surv(start, stop, status == 1) ~ treatment + rtumor +
                          cluster(id), bladder))
  expect_like_coxph(cox(Surv(stop, event) ~ (rx + size + number) * strata(enum),
                        survival::bladder, cluster = id))
  expect_like_coxph(cox(Surv(start, stop, event) ~ rx + number + cluster(id),
                        bladder2, weights = enum))
  expect_like_coxph(cox(Surv(time1, time2, status) ~ trt + cluster(id), rats2,
                        subset = time1 < time2))
  expect_like_coxph(cox(Surv(time, status) ~ age + sex + disease + cluster(id),
                        kidney))
  valves <- tmerge(valveSeat[!duplicated(valveSeat$id), "id", drop = FALSE],
                   aggregate(time ~ id, valveSeat, max), id = id,
                   tstop = time)
  valves <- tmerge(valves, subset(valveSeat, status == 1), id = id,
                   repair = event(time))
  valves <- tmerge(valves, valves, id = id, before = cumtdc(tstart))
  expect_like_coxph(cox(Surv(tstart, tstop, repair) ~ before, valves, id = id))
})

test_that("several ends: gammopathy, transplants, trials", {
  skip_if_no_engine()
  expect_like_coxph(cox(Surv(start, stop, event == "death") ~ age + sex +
                          creat + hgb, mgus1, id = id))
  expect_like_coxph(cox(Surv(start, stop, event == "pcm") ~ age + mspike +
                          strata(sex), mgus1, ties = "breslow"))
  free <- tmerge(mgus[, 1:3], mgus, id = id, died = event(futime, death))
  free <- tmerge(free, mgus, id = id, pcm = tdc(pctime))
  expect_like_coxph(cox(Surv(tstart, tstop, died) ~ age + sex + pcm, free))
  expect_like_coxph(cox(Surv(futime, event == "ltx") ~ age + sex + abo + year,
                        transplant))
  expect_like_coxph(cox(Surv(futime, event == "death") ~ age + abo,
                        transplant, ties = "breslow", subset = futime > 0))
  expect_like_coxph(cox(Surv(futime, status) ~ trt + age * type, retinopathy,
                        cluster = id))
  expect_like_coxph(cox(Surv(time, status) ~ trt * laser + strata(risk),
                        diabetic, cluster = id))
  expect_like_coxph(cox(Surv(futime, status) ~ trt + log(bili) + stage +
                          strata(endpoint), udca2, cluster = id))
  expect_like_coxph(cox(Surv(time, status) ~ age + I(age^2) + t5, stanford2))
  expect_like_coxph(cox(Surv(rtime, recur) ~ hormon + nodes + grade +
                          log1p(pgr) + size, rotterdam))
  expect_like_coxph(cox(Surv(rfstime, status) ~ hormon + nodes + strata(grade),
                        gbsg, ties = "breslow"))
  relapse <- tmerge(myeloid[, 1:3], myeloid, id = id,
                    died = event(futime, death), sct = tdc(txtime),
                    relapsed = tdc(rltime))
  expect_like_coxph(cox(Surv(tstart, tstop, died) ~ trt + sct + relapsed,
                        relapse))
})

test_that("delayed entry and thousands of people", {
  skip_if_no_engine()
  referred <- subset(myeloma, entry < futime)
  expect_like_coxph(cox(Surv(entry, futime, death) ~ year, referred))
  late <- subset(mgus2, futime > 0)
  late <- transform(late, entry = age, exit = age + futime / 12)
  expect_like_coxph(cox(Surv(entry, exit, death) ~ sex + mspike + log(creat) +
                          strata(dxyr > 1985), subset(late, creat > 0),
                        ties = "breslow"))
  light <- subset(flchain, futime > 0)
  light <- some_people(transform(light, id = seq_len(nrow(light))), 8)
  expect_like_coxph(cox(Surv(age, age + futime / 365.25, death) ~ sex +
                          kappa + log(lambda) + strata(mgus), light))
  expect_like_coxph(cox(Surv(futime, death) ~ splines::ns(age, 4) + sex +
                          factor(flc.grp), light, ties = "breslow"))
})

test_that("dated diagnoses and laboratory values", {
  skip_if_no_engine()
  people <- some_people(nafld1, 40)
  rows <- nafld_rows(people)
  expect_like_coxph(cox(Surv(entry, exit, death) ~ male + diabetes + htn +
                          nafld, rows))
  expect_like_coxph(cox(Surv(tstart, tstop, death) ~ age + male + diabetes +
                          chol + cluster(id), rows, ties = "breslow"))
  expect_like_coxph(cox(Surv(tstart, tstop, death) ~ splines::ns(age, 3) +
                          male * diabetes + bmi + strata(htn), rows,
                        na.action = na.exclude))
})

test_that("choices of occupation, as a matched study", {
  skip_if_no_engine()
  jobs <- levels(logan$occupation)
  men <- some_people(transform(logan, id = seq_len(nrow(logan))), 3)
  wide <- men[rep(seq_len(nrow(men)), length(jobs)), ]
  wide$job <- factor(rep(jobs, each = nrow(men)), jobs)
  wide$case <- as.integer(wide$occupation == wide$job)
  # The education of a man is the same for all his choices: one interaction
  # too many, which the tightest tolerance of coxph would not see.
  expect_warning(
    fit <- cox(Surv(rep(1, nrow(wide)), case) ~ job + job:education +
                 strata(id), wide, ties = "exact"),
    class = "vigitensor_warning_collinear"
  )
  peer <- suppressWarnings(clogit(
    case ~ job + job:education + strata(id), wide,
    control = coxph.control(eps = 1e-14, iter.max = 60)
  ))
  expect_identical(is.na(unname(coef(fit))), is.na(unname(coef(peer))))
  expect_within(coef(fit), coef(peer), 1e-8, "logan")
  expect_equal(fit$var, peer$var, tolerance = 1e-7)
  expect_equal(fit$loglik, peer$loglik, tolerance = 1e-10)
})
