# A whole population: 67 million simulated people x 1 year, from records on disk
# to a fitted model, in 30 minutes and 16 GB. By parts of it:
#
#   Rscript bench/nation.R [share ...]      default: 1/100, 1/40
#
# Drawing the records is timed apart; building the store and the fit count.
source("bench/common.R")
need_engine()

shares <- commandArgs(TRUE)
if (!length(shares)) shares <- c("1/100", "1/40")
shares <- vapply(shares, function(s) eval(parse(text = s)), 0)
everybody <- 67e6
per_block <- 500000

# Block k of a population: entry on day 0, exit at death or after a year; three
# in ten take the drug, in spells of 30 days. About 2 events per 1,000 people.
draw_block <- function(k, n) {
  set.seed(k)
  id <- (k - 1) * per_block + seq_len(n)
  age <- sample(18:95, n, TRUE)
  sex <- sample.int(2L, n, TRUE) - 1L
  user <- which(stats::runif(n) < 0.3)
  spells <- 1L + stats::rpois(length(user), 2)
  first <- sample.int(330L, length(user), TRUE)
  number <- sequence(spells)
  start <- rep.int(first, spells) + (number - 1L) * sample(30:45, sum(spells),
                                                           TRUE)
  records <- data.frame(
    person_id = rep.int(id[user], spells), start = start, stop = start + 30L,
    dose = rep.int(sample(c(0.5, 1, 2), length(user), TRUE), spells),
    drug = "drug"
  )
  # The hazard is piecewise constant: higher from the first spell on.
  base <- 3e-6 * exp(0.03 * (age - 50) + 0.4 * sex)
  onset <- rep.int(366, n)
  onset[user] <- first
  u <- stats::rexp(n)
  before <- base * onset
  time <- ceiling(ifelse(u < before, u / base,
                         onset + (u - before) / (1.8 * base)))
  exit <- pmin(time, 365)
  people <- data.frame(person_id = id, entry = 0L, exit = as.integer(exit),
                       event = as.integer(time <= 365), sex = sex, age = age)
  list(people = people, records = records[records$start < 365, ])
}

# A fresh process: its peak of memory is that of the job. Value: seconds of
# drawing, building, fitting; peak in GB; events, pairs, gigabytes on disk.
measure <- function(n) {
  folder <- tempfile("nation")
  on.exit(unlink(folder, recursive = TRUE))
  found <- fresh_numbers(c(
    "source(\"bench/common.R\")", sprintf("per_block <- %d", per_block),
    paste("draw_block <-", paste(deparse(draw_block), collapse = "\n")),
    sprintf("n <- %.0f; folder <- %s", n, deparse(folder)),
    "drawing <- 0",
    "blocks <- function(k) {",
    "  size <- min(per_block, n - (k - 1) * per_block)",
    "  if (size <= 0) return(NULL)",
    "  t <- system.time(b <- draw_block(k, size))[['elapsed']]",
    "  drawing <<- drawing + t",
    "  b",
    "}",
    "all <- system.time(store <- claims_store(blocks, path = folder,",
    "                                         id = 'person_id'))[['elapsed']]",
    "size <- sum(file.size(list.files(folder, recursive = TRUE,",
    "                                 full.names = TRUE))) / 1e9",
    "fit <- system.time(f <- quiet(wce(",
    "  Surv(entry, exit, event) ~ sex + age + exposure('drug'), store,",
    "  cutoff = 180, nknots = 1, constrained = 'right', engine = 'cpu'",
    ")))[['elapsed']]",
    "cat(drawing, all - drawing, fit, process_memory('VmHWM'), f$nevent,",
    "    f$n_pairs, size)"
  ))
  stats::setNames(found, c("drawing", "building", "fit", "memory_gb", "events",
                           "pairs", "disk_gb"))
}

# Kernels are compiled before anything is timed.
invisible(quiet(fit_cohort(bench_cohort(1500))))

rows <- do.call(rbind, lapply(shares, function(share) {
  n <- round(share * everybody)
  found <- measure(n)
  print(round(found, 2))
  size <- sprintf("%s, %s events, %.2f GB on disk", cohort_size(
    n, found[["pairs"]]), format(found[["events"]], big.mark = ","),
    found[["disk_gb"]])
  rbind(
    figure("nation", "records on disk to the store", size, "cpu",
           found[["building"]]),
    figure("nation", "wce(), store", size, "cpu", found[["fit"]],
           found[["memory_gb"]], target = "30 min, 16 GB at 67 million")
  )
}))
write_results("nation", rows)
