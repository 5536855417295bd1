# 10 million dispensings in Parquet to a fitted model: 660,000 patients, 10
# years, cutoff 180, about 10 % of person-time exposed (240 million pairs),
# 30,000 events: 60 s and 8 GB.
#
#   Rscript bench/parquet.R [share]         default 1/20
source("bench/common.R")
need_engine()

share <- eval(parse(text = c(commandArgs(TRUE), "1/20")[1L]))
n <- round(660000 * share)
days <- 3650L

# Patients over 10 years, one in ten of whom leaves early. Two in five take the
# drug, in one course of about 36 dispensings of 20 days, one in ten of them a
# week late: a tenth of all days lies within 180 days of one.
draw_cohort <- function(n) {
  set.seed(240)
  age <- sample(18:90, n, TRUE)
  sex <- sample.int(2L, n, TRUE) - 1L
  exit <- ifelse(stats::runif(n) < 0.9, days, sample(30:days, n, TRUE))
  user <- which(stats::runif(n) < 0.42)
  size <- 6L + stats::rpois(length(user), 30)
  first <- 1L + floor(stats::runif(length(user)) * exit[user])
  number <- sequence(size)
  late <- cumsum(stats::runif(sum(size)) < 0.1)
  late <- late - rep.int(late[number == 1L], size)
  start <- as.integer(rep.int(first, size) + (number - 1L) * 20L + 7L * late)
  records <- data.frame(person_id = rep.int(user, size), start = start,
                        stop = start + 20L,
                        dose = rep.int(sample(c(0.5, 1, 2), length(user), TRUE),
                                       size), drug = "drug")
  base <- 0.95e-5 * exp(0.02 * (age - 50) + 0.3 * sex)
  onset <- rep.int(days + 1, n)
  onset[user] <- first
  u <- stats::rexp(n)
  before <- base * onset
  time <- ceiling(ifelse(u < before, u / base,
                         onset + (u - before) / (1.5 * base)))
  event <- time <= exit
  list(people = data.frame(person_id = seq_len(n), entry = 0L,
                           exit = as.integer(pmin(time, exit)),
                           event = as.integer(event), sex = sex, age = age),
       records = records)
}

# Kernels are compiled before anything is timed.
invisible(quiet(fit_cohort(bench_cohort(1500))))

folder <- tempfile("parquet")
dir.create(file.path(folder, "records"), recursive = TRUE)
cohort <- draw_cohort(n)
write_parquet(cohort$people, file.path(folder, "people.parquet"))
for (k in 1:8) {
  part <- cohort$records[cohort$records$person_id %% 8 == k - 1, ]
  write_parquet(part, file.path(folder, "records",
                                sprintf("part-%d.parquet", k)))
}
n_records <- nrow(cohort$records)
rm(cohort, part)

# Parquet -> blocks -> store -> fit, in a fresh process.
store <- tempfile("store")
found <- fresh_numbers(c(
  "source(\"bench/common.R\")",
  sprintf("folder <- %s; store <- %s", deparse(folder), deparse(store)),
  "began <- proc.time()[['elapsed']]",
  "source <- parquet_source(folder)",
  "blocks <- source_blocks(list(people = source_table(source, 'people'),",
  "  records = source_table(source, 'records')), blocks = 12)",
  "s <- claims_store(blocks, path = store, id = 'person_id')",
  "built <- proc.time()[['elapsed']]",
  "f <- quiet(wce(Surv(entry, exit, event) ~ sex + age + exposure('drug'), s,",
  "  cutoff = 180, nknots = 1, constrained = 'right', engine = 'cpu'))",
  "done <- proc.time()[['elapsed']]",
  "cat(built - began, done - built, process_memory('VmHWM'), f$nevent,",
  "    f$n_pairs)"
))
unlink(c(folder, store), recursive = TRUE)
size <- sprintf("%s dispensings, %s events", format(n_records, big.mark = ","),
                format(found[4L], big.mark = ","))
size <- paste(cohort_size(n, found[5L]), size, sep = ", ")
write_results(
  "parquet",
  figure("parquet", "Parquet to the store", size, "cpu", found[1L]),
  figure("parquet", "wce(), store", size, "cpu", found[2L]),
  figure("parquet", "Parquet to the fit", size, "cpu", found[1L] + found[2L],
         found[3L], target = "60 s, 8 GB at 10 million dispensings")
)
