# Nutrition in intensive care: a coarsened copy of the data `patient` and
# `daily` of the R package pammtools (MIT licence, see golden-icu-licence.md),
# and what survival::coxph gives for them, written out row by row.
#
#   Rscript make-icu.R FOLDER      a folder with patient.rda and daily.rda
#
# Kept are whole days, age to five years, the APACHE II score to even numbers,
# and the intake of each day in quarters of what was prescribed (calories) and
# in halves of a gram per kilogram (protein), one digit a day. Identifiers,
# years, hospitals and diagnoses are left out, and people come in the order of
# their values.

library(survival)
source(file.path("..", "testthat", "helper-survival-data.R"))
tight_control <- function() {
  coxph.control(eps = 1e-14, toler.chol = 1e-15, iter.max = 60)
}

# ---- the data ---------------------------------------------------------------

folder <- commandArgs(TRUE)[1L]
load(file.path(folder, "patient.rda"))
load(file.path(folder, "daily.rda"))
daily <- as.data.frame(daily)
patient <- as.data.frame(patient)
patient <- patient[!is.na(patient$Gender) & !is.na(patient$ApacheIIScore), ]

in_steps <- function(x, step) pmin(round(x / step), 9)
by_day <- function(values) {
  days <- values[order(values$Study_Day), ]
  stopifnot(identical(as.integer(days$Study_Day), seq_len(nrow(days))))
  c(calories = paste(in_steps(days$caloriesPercentage, 25), collapse = ""),
    protein = paste(in_steps(days$proteinGproKG, 0.5), collapse = ""))
}
diet <- vapply(split(daily, daily$CombinedID), by_day, c(a = "", b = ""))
icu <- data.frame(
  stop = ceiling(patient$Survdays), died = patient$PatientDied,
  male = as.integer(patient$Gender == "Male"),
  age = 5 * round(patient$Age / 5),
  apache = 2 * round(patient$ApacheIIScore / 2),
  t(diet[, as.character(patient$CombinedID)])
)
names(icu)[6:7] <- c("calories", "protein")
icu <- icu[do.call(order, icu), ]
connection <- gzfile("golden-icu.csv.gz", "wb")
utils::write.csv(icu, connection, row.names = FALSE, quote = FALSE)
close(connection)

# ---- coxph on expanded rows -------------------------------------------------

# Read back, as the tests will.
icu <- utils::read.csv("golden-icu.csv.gz", colClasses = c(
  calories = "character", protein = "character"
))
people <- data.frame(id = seq_len(nrow(icu)), start = 0, stop = icu$stop,
                     event = icu$died, male = icu$male, age = icu$age,
                     apache = icu$apache)
calories <- intake_records(icu$calories, 0.25)
protein <- intake_records(icu$protein, 0.5)
later <- function(records) {
  transform(records, start = start + 1, stop = stop + 1)
}
free <- splines::splineDesign(c(rep(1, 4), 16, rep(30, 4)), 1:30)
# The day of death does not count: lags 2 to 14 are 13 days of records that are
# a day late; right constraint.
short <- splines::splineDesign(c(rep(1, 4), 7, rep(13, 4)), 1:13)[, 1:3]
models <- list(
  calories = expanded_coxph(
    "male + age + apache", people,
    function(id, time) unit_features(id, time, calories, free)
  ),
  both = expanded_coxph(
    "age + strata(male)", people, ties = "breslow",
    function(id, time) {
      cbind(unit_features(id, time, later(calories), short),
            unit_features(id, time, later(protein), short))
    }
  )
)
numbers <- do.call(rbind, lapply(names(models), function(name) {
  model <- models[[name]]
  numbers_of <- function(quantity, values) {
    data.frame(model = name, quantity, index = seq_along(values),
               value = sprintf("%.17g", as.vector(values)))
  }
  rbind(numbers_of("coefficient", coef(model)), numbers_of("var", model$var),
        numbers_of("loglik", model$loglik))
}))
utils::write.csv(numbers, "golden-icu-coxph.csv", row.names = FALSE,
                 quote = FALSE)
