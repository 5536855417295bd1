# The demo: is the risk of chronic sinusitis related to past dispensings of
# amoxicillin and penicillin V, and to how long ago they were?
#
#   Rscript tools/demo.R FOLDER-OF-CSV-FILES OUTPUT-FOLDER
#
# The CSV files are those of tools/demo/extract.py.
library(vigitensor)

folders <- commandArgs(TRUE)
read_table <- function(name) {
  utils::read.csv(file.path(folders[[1L]], paste0(name, ".csv")))
}
output <- function(name) file.path(folders[[2L]], name)
heading <- function(text) {
  cat("\n", text, "\n", strrep("-", nchar(text)), "\n\n", sep = "")
}
say <- function(...) cat(strwrap(paste0(...), width = 78), "", sep = "\n")

# ---- what was read ----------------------------------------------------------

people <- read_table("people")
people$sex <- factor(people$sex, levels = c("female", "male"))
dispensings <- read_table("dispensings")
attrition <- read_table("attrition")

heading("1. From the database to the data of the model")
signs <- c(keep = "", drop = "- ", note = "  . ")
titles <- c(people = "People", outcome = "Outcome: first chronic sinusitis",
            exposure = "Exposure: dispensings")
for (part in names(titles)) {
  rows <- attrition[attrition$part == part, ]
  cat(sprintf("%-56s %9s %9s\n", titles[[part]], "records", "persons"))
  cat(sprintf("  %-54s %9s %9s\n", paste0(signs[rows$kind], rows$step),
              format(rows$records, big.mark = ",", trim = TRUE),
              format(rows$persons, big.mark = ",", trim = TRUE)), sep = "")
  cat("\n")
}
say("Lines with - were left out. Time is counted in days since the ",
    "observation of a person began, which is the day of birth here: people of ",
    "the same age are compared. A dispensing on day D for n days is (D, D + ",
    "n], an event on day E stops at E + 1. What was dispensed after the first ",
    "event, or lasts beyond the observation, does no harm: nobody is at risk ",
    "then.")

# ---- the model --------------------------------------------------------------

fit_with_cutoff <- function(cutoff) {
  wce(
    Surv(entry, exit, event) ~ sex + year_of_birth + exposure("antibiotic"),
    data = people, id = person_id, records = dispensings,
    cutoff = cutoff, nknots = 1:3, constrained = "right"
  )
}
fits <- list("90" = fit_with_cutoff(90), "180" = fit_with_cutoff(180))

for (cutoff in names(fits)) {
  heading(sprintf("%d. Doses of the last %s days",
                  match(cutoff, names(fits)) + 1L, cutoff))
  print(summary(fits[[cutoff]]))
}

# ---- what it says -----------------------------------------------------------

heading("4. Hazard ratio of a 10-day course, against no antibiotic")
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

utils::write.csv(ratios, output("hazard-ratios.csv"), row.names = FALSE)
better <- which.min(vapply(fits, BIC, 0))
saveRDS(fits[[better]], output("fit.rds"))
saveRDS(fits, output("both-fits.rds"))
grDevices::png(output("weight-function.png"), width = 1600, height = 850,
               res = 160)
graphics::par(mfrow = c(1L, 2L))
for (cutoff in names(fits)) {
  plot(fits[[cutoff]], main = sprintf("Doses of the last %s days", cutoff))
}
invisible(grDevices::dev.off())

heading("5. Before you believe it")
say("These are synthetic patients: nothing here is about real people. And ",
    "even in real ones this would not show harm done by the antibiotics: the ",
    "comparison is confounded by indication. Antibiotics are given for acute ",
    "infections of the airways, and it is these that precede chronic ",
    "sinusitis. The weight function describes when, after such a ",
    "prescription, the diagnosis is made.")
cat("Written to ", folders[[2L]], "/:\n", sep = "")
cat(sprintf("  %-20s %s\n", c("weight-function.png", "hazard-ratios.csv",
                              "fit.rds", "both-fits.rds"),
            c("weight of a day's dose, by how long ago it was taken",
              "the hazard ratios above",
              sprintf("the fit with the lower BIC (cutoff %s days): readRDS()",
                      names(fits)[better]),
              "both fits, in a list")), sep = "")
