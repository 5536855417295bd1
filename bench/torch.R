# Engine "torch" on the processor against engine "cpu": fits and bootstraps of
# 100,000 patients in two rows each. Equality to 1e-9 first. Processor time of
# one thread, so that nothing hangs on how either engine shares out its work.
#
#   Rscript bench/torch.R [patients]
source("bench/common.R")
need_engine()
options(vigitensor.threads = 1, vigitensor.device = "cpu",
        vigitensor.progress = FALSE)
replicates <- 32

# Everybody's follow-up in two rows, where it is long enough.
halves <- function(people) {
  middle <- floor((people$entry + people$exit) / 2)
  long <- middle > people$entry
  late <- people[long, ]
  late$entry <- middle[long]
  people$exit[long] <- middle[long]
  people$event[long] <- 0
  rbind(people, late)
}

processor_seconds <- function(call, times) {
  quiet(call())
  stats::median(vapply(seq_len(times), function(k) {
    gc(FALSE)
    sum(system.time(quiet(call()), gcFirst = FALSE)[c("user.self", "sys.self")])
  }, 0))
}

same_replicates <- function(one, other) {
  difference <- abs(one - other) / pmax(1, abs(one))
  if (!identical(is.na(one), is.na(other)) ||
        max(difference, na.rm = TRUE) > 1e-9) {
    stop("The engines' replicates differ.", call. = FALSE)
  }
  max(difference, na.rm = TRUE)
}

n <- as.numeric(commandArgs(TRUE)[1L])
if (is.na(n)) n <- 1e5
sim <- bench_cohort(n)
people <- halves(sim$people)
size <- sprintf("%s patients, %s rows",
                format(n, big.mark = ",", scientific = FALSE),
                format(nrow(people), big.mark = ",", scientific = FALSE))
fit_exposure <- function(engine) {
  wce(Surv(entry, exit, event) ~ sex + age + exposure("drug"), data = people,
      id = person_id, records = sim$records, cutoff = 180, nknots = 1,
      constrained = "right", engine = engine)
}
fit_plain <- function(engine) {
  cox(Surv(entry, exit, event) ~ sex + age, data = people, engine = engine)
}
exposed <- fit_exposure("cpu")
many_exposure <- function(engine) {
  bootstrap(exposed, times = replicates, seed = 1, data = people,
            engine = engine)
}
plain <- fit_plain("cpu")
x <- unname(cbind(as.numeric(people$sex == levels(factor(people$sex))[2L]),
                  as.double(people$age)))
many_plain <- function(engine) {
  getFromNamespace("engine_call", "vigitensor")(
    "fit_cox_many", start = as.double(people$entry),
    stop = as.double(people$exit), event = people$event,
    stratum = rep.int(1L, nrow(people)), offset = numeric(nrow(people)),
    weight = rep(1, nrow(people)), x = x,
    cluster = match(people$person_id, unique(people$person_id)),
    coefficients = unname(stats::coef(plain)),
    replicates = list(kind = "multinomial", seed = 1, first = 1,
                      count = replicates),
    engine = engine
  )
}

cases <- list(
  list(what = "wce()", run = fit_exposure, times = 5L, same = function(a, b) {
    check_same_fit(a, b, 1e-12, 1e-9)
  }),
  list(what = "cox()", run = fit_plain, times = 5L, same = function(a, b) {
    check_same_fit(a, b, 1e-12, 1e-9)
  }),
  list(what = sprintf("bootstrap() of wce(), %d", replicates),
       run = many_exposure, times = 1L, same = function(a, b) {
         same_replicates(a$coefficients, b$coefficients)
       }),
  list(what = sprintf("bootstrap of a Cox model, %d", replicates),
       run = many_plain, times = 3L, same = function(a, b) {
         same_replicates(a$coefficients, b$coefficients)
       })
)
figures <- lapply(cases, function(case) {
  difference <- case$same(quiet(case$run("cpu")), quiet(case$run("torch")))
  cpu <- processor_seconds(function() case$run("cpu"), case$times)
  torch <- processor_seconds(function() case$run("torch"), case$times)
  cat(sprintf("%s: torch takes %.1f times as long\n", case$what, torch / cpu))
  rbind(
    figure("torch", case$what, size, "cpu", cpu),
    figure("torch", case$what, size, "torch", torch,
           target = "10 times engine cpu", difference = difference)
  )
})
do.call(write_results, c("torch", figures))
