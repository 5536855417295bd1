# Makes inst/extdata/claims/*.csv.gz: raw tables as a claims database has them,
# with the faults of such tables. Run from the package's folder, with the
# package and its engine installed:
#   Rscript data-raw/raw-claims.R
# Simulated with a known truth: no real person is in these data.

library(vigitensor)

# Both drugs change the hazard of a bleeding for some weeks: M01AE01 raises it,
# A02BC01 does nothing.
sim <- simulate_wce(
  n = 1500, days = 1095, weights = "early_peak", cutoff = 90,
  log_hr = c(M01AE01 = log(4), A02BC01 = 0), users = 0.6, hazard = 2.5e-4,
  covariates = c(sex = 0.3, age = 0.02), seed = 2027
)
set.seed(2027)
first_day <- as.Date("2016-01-01")
n <- nrow(sim$people)
id <- sprintf("%012.0f", sort(sample(1e11, n)))

# ---- what there is ----------------------------------------------------------

people <- data.frame(
  person_id = id,
  birth_date = first_day - round(sim$people$age * 365.25) - sample(0:364, n,
                                                                   TRUE),
  sex = ifelse(sim$people$sex == 1, "male", "female")
)
# Covered for a year before the study, and until it ends or they leave.
end <- ifelse(sim$people$event == 1, 1095, sim$people$exit)
coverage <- data.frame(person_id = id, start = first_day - 365,
                       end = first_day + end - 1)
# A tenth have a gap of some days in the first year.
gap <- sample(n, n / 10)
later <- coverage[gap, ]
later$start <- first_day - 365 + sample(40:200, length(gap), TRUE)
coverage$end[gap] <- later$start - sample(2:40, length(gap), TRUE)
coverage <- rbind(coverage, later)

dead <- which(sim$people$event == 0 & sim$people$exit < 1095)
dead <- sample(dead, length(dead) / 3)
deaths <- data.frame(person_id = id[dead],
                     date = first_day + sim$people$exit[dead] - 1)

place <- match(sim$records$person_id, sim$people$person_id)
days <- sim$records$stop - sim$records$start
dispensings <- data.frame(
  person_id = id[place], date = first_day + sim$records$start,
  drug = sim$records$drug, days_supply = days,
  quantity = days * sim$records$dose,
  strength = ifelse(sim$records$drug == "M01AE01", 400, 20)
)
bled <- which(sim$people$event == 1)
diagnoses <- rbind(
  data.frame(person_id = id[bled],
             date = first_day + sim$people$exit[bled] - 1,
             code = sample(c("K92.0", "K92.1", "K92.2"), length(bled), TRUE),
             position = "primary"),
  data.frame(person_id = sample(id, 3000, TRUE),
             date = first_day - 365 + sample(1460, 3000, TRUE),
             code = sample(c("I10", "E11.9", "M54.5", "J20.9"), 3000, TRUE),
             position = sample(c("primary", "secondary"), 3000, TRUE)),
  # Some bled before the study.
  data.frame(person_id = sample(setdiff(id, id[bled]), 25),
             date = first_day - sample(300, 25), code = "K92.2",
             position = "primary")
)

# ---- and its faults ---------------------------------------------------------

some <- function(k) sample(nrow(dispensings), k)
reversed <- dispensings[some(30), ]
reversed$quantity <- -reversed$quantity
reversed$date <- reversed$date + 1
repeated <- dispensings[some(40), ]
unknown <- dispensings[some(15), ]
unknown$person_id <- "999999999999"
gone <- dispensings[some(12), ]
gone$person_id <- sample(deaths$person_id, 12)
gone$date <- deaths$date[match(gone$person_id, deaths$person_id)] +
  sample(5:40, 12)
wrong_day <- dispensings[some(6), ]
wrong_day$date <- as.Date("1899-12-31")
dispensings <- rbind(dispensings, reversed, repeated, unknown, gone, wrong_day)
dispensings <- dispensings[order(dispensings$date, dispensings$person_id), ]
blank <- sample(nrow(diagnoses), 20)
diagnoses$code[blank] <- paste0(diagnoses$code[blank], " ")
diagnoses <- diagnoses[order(diagnoses$date, diagnoses$person_id), ]

folder <- file.path("inst", "extdata", "claims")
dir.create(folder, recursive = TRUE, showWarnings = FALSE)
tables <- list(people = people, coverage = coverage, deaths = deaths,
               dispensings = dispensings, diagnoses = diagnoses)
for (name in names(tables)) {
  file <- gzfile(file.path(folder, paste0(name, ".csv.gz")), "w")
  utils::write.csv(tables[[name]], file, row.names = FALSE, quote = FALSE)
  close(file)
}
