# The demo: is the risk of chronic sinusitis related to past dispensings of
# amoxicillin and penicillin V, and to how long ago they were? From the tables
# of an OMOP database to hazard ratios.
#
#   Rscript tools/demo.R DATABASE OUTPUT-FOLDER
#
# The database is the SQLite file of tools/demo/extract.py.
library(vigitensor)

places <- commandArgs(TRUE)
output <- function(name) file.path(places[[2L]], name)
sections <- new.env()
sections$number <- 0L
heading <- function(text) {
  sections$number <- sections$number + 1L
  text <- sprintf("%d. %s", sections$number, text)
  cat("\n", text, "\n", strrep("-", nchar(text)), "\n\n", sep = "")
}
say <- function(...) cat(strwrap(paste0(...), width = 78), "", sep = "\n")

# ---- the tables -------------------------------------------------------------

heading("What is in the database, and what is wrong with it")
connection <- DBI::dbConnect(RSQLite::SQLite(), places[[1L]])
concept <- function(name, kind) {
  found <- DBI::dbGetQuery(connection, paste(
    "SELECT concept_id FROM concept",
    "WHERE concept_name = ? AND concept_class_id = ?"
  ), params = list(name, kind))
  found$concept_id
}
# An ingredient stands for all products that contain it.
database <- omop_source(
  connection,
  drugs = list(antibiotic = c(concept("Amoxicillin", "Ingredient"),
                              concept("Penicillin V", "Ingredient"))),
  conditions = list(sinusitis = concept("Chronic sinusitis",
                                        "Clinical Finding"))
)
print(database)
cat("\n")
read <- function(table) as.data.frame(source_table(database, table))
raw <- lapply(c(dispensings = "dispensings", people = "people",
                coverage = "coverage", diagnoses = "diagnoses"), read)
DBI::dbDisconnect(connection)
print(do.call(check_claims, raw))
say("", "Half of the periods of observation are of people who are not there: ",
    "they go. All quantities are zero: that rule is not applied, as the days ",
    "of supply are known.")
clean <- do.call(check_claims, c(raw, list(fix = "unknown_person")))$tables
clean$people$year_of_birth <- as.integer(format(clean$people$birth_date, "%Y"))

# ---- who, what, when --------------------------------------------------------

heading("Who is followed, and their outcomes")
followed <- cohort(clean$people, clean$coverage, end = as.Date("2019-12-31"),
                   lookback = 0, time_scale = "age")
study <- outcomes(followed, clean$diagnoses, codes = "sinusitis")
print(attrition(study))
say("", "Time is age in days: people of the same age are compared. Follow-up ",
    "ends with the first diagnosis or with the observation.")

heading("Exposure")
# Prescribed together, they are taken together: doses add where they overlap.
episodes <- exposure_episodes(clean$dispensings, overlap = "add")
print(episodes)
cat("\n")
print(describe_exposure(study, episodes))
records <- align_records(episodes, study)

# ---- the model --------------------------------------------------------------

fit_with_cutoff <- function(cutoff) {
  wce(
    Surv(entry, exit, event) ~ sex + year_of_birth + exposure("antibiotic"),
    data = study, id = person_id, records = records,
    cutoff = cutoff, nknots = 1:3, constrained = "right"
  )
}
fits <- list("90" = fit_with_cutoff(90), "180" = fit_with_cutoff(180))
for (cutoff in names(fits)) {
  heading(sprintf("Doses of the last %s days", cutoff))
  print(summary(fits[[cutoff]]))
}

# ---- what it says -----------------------------------------------------------

heading("Hazard ratio of a 10-day course, against no antibiotic")
began <- c(10, 30, 60)
ratios <- lapply(names(fits), function(name) {
  cutoff <- as.numeric(name)
  courses <- lapply(began, function(ago) {
    dose_profile(days = 10, began = ago, cutoff = cutoff)
  })
  found <- as.data.frame(hazard_ratio(fits[[name]], courses, reference = 0))
  data.frame(cutoff_days = cutoff, course_days = 10, begun_days_ago = began,
             hazard_ratio = found$hr, lower_95 = found$lower,
             upper_95 = found$upper)
})
ratios <- do.call(rbind, ratios)
by_cutoff <- split(
  sprintf("%.2f (%.2f to %.2f)", ratios$hazard_ratio, ratios$lower_95,
          ratios$upper_95),
  ratios$cutoff_days
)
cat(sprintf("  %-20s %-22s %-22s\n", c("", sprintf("begun %d days ago", began)),
            c("cutoff 90 days", by_cutoff[["90"]]),
            c("cutoff 180 days", by_cutoff[["180"]])), sep = "")
cat("\n")
say("With 95 % intervals, which take the chosen number of knots as if it had ",
    "been known beforehand.")

better <- which.min(vapply(fits, BIC, 0))
utils::write.csv(ratios, output("hazard-ratios.csv"), row.names = FALSE)
utils::write.csv(attrition(study), output("attrition.csv"), row.names = FALSE)
saveRDS(list(people = as.data.frame(study), records = as.data.frame(records)),
        output("study.rds"))
saveRDS(fits[[better]], output("fit.rds"))
saveRDS(fits, output("both-fits.rds"))
figure <- function(name, panels, code) {
  grDevices::png(output(name), width = 800 * panels, height = 850, res = 160)
  on.exit(grDevices::dev.off())
  graphics::par(mfrow = c(1L, panels))
  code
}
figure("exposure.png", 2L, {
  plot(episodes, main = "People exposed")
  plot(episodes, "sample", n = 15, main = "The records of fifteen people")
})
figure("weight-function.png", 2L, for (cutoff in names(fits)) {
  plot(fits[[cutoff]], main = sprintf("Doses of the last %s days", cutoff))
})

heading("Before you believe it")
say("These are synthetic patients: nothing here is about real people. And ",
    "even in real ones this would not show harm done by the antibiotics: the ",
    "comparison is confounded by indication. Antibiotics are given for acute ",
    "infections of the airways, and it is these that precede chronic ",
    "sinusitis. The weight function describes when, after such a ",
    "prescription, the diagnosis is made.")
files <- c(
  "attrition.csv" = "whom each step left out",
  "exposure.png" = "who was exposed when",
  "weight-function.png" = "weight of a day's dose, by how long ago it was",
  "hazard-ratios.csv" = "the hazard ratios above",
  "study.rds" = "people and records as the model took them: readRDS()",
  "fit.rds" = sprintf("the fit with the lower BIC (cutoff %s days)",
                      names(fits)[better]),
  "both-fits.rds" = "both fits, in a list"
)
cat("Written to ", places[[2L]], "/:\n", sep = "")
cat(sprintf("  %-20s %s\n", names(files), files), sep = "")
