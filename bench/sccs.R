# Published data of the self-controlled case series: hip fractures and
# antidepressants (1,000 cases), heart attacks and respiratory infections
# (940), convulsions and two vaccines (2,201 children, 2,435 events). Data, and
# the calls with their risk windows and age groups, are those of the manual of
# the package SCCS 1.7, which goes with Farrington, Whitaker and Ghebremichael
# Weldeselassie (2018), Self-controlled Case Series Studies: A Modelling Guide
# with R.
#
# The package is under the GPL, and nothing of it is here: the folder that
# VIGITENSOR_SHARED names has sccs/hipdat.txt.gz, midat.txt.gz, condat.txt.gz
# and the package's R files, or SCCS is installed. Published estimates are what
# its functions give in the same run.
#
#   VIGITENSOR_SHARED=<folder> Rscript bench/sccs.R
source("bench/common.R")
need_engine()

folder <- file.path(Sys.getenv("VIGITENSOR_SHARED"), "sccs")
installed <- requireNamespace("SCCS", quietly = TRUE)
if (!installed && !file.exists(file.path(folder, "hipdat.txt.gz"))) {
  stop("The data are not here: set VIGITENSOR_SHARED, or install SCCS.",
       call. = FALSE)
}
peer <- if (installed) asNamespace("SCCS") else {
  place <- new.env(parent = asNamespace("survival"))
  for (file in list.files(folder, "[.]R$", full.names = TRUE)) {
    sys.source(file, place)
  }
  place
}
read_cases <- function(name) {
  if (installed) {
    place <- new.env()
    utils::data(list = name, package = "SCCS", envir = place)
    return(place[[name]])
  }
  utils::read.table(file.path(folder, paste0(name, ".txt.gz")), header = TRUE)
}
hipdat <- read_cases("hipdat")
midat <- read_cases("midat")
condat <- read_cases("condat")

# ---- fixed risk windows -----------------------------------------------------

# Days of age a to b, both included, are (a - 1, b]. One event after the other:
# its observation period is cut where a window or an age group begins or ends.
# windows: data frame case, from, to (both included), level, drug: of windows
# that overlap the later row counts; ages: first days of age groups.
cut_events <- function(events, windows, ages) {
  drugs <- unique(windows$drug)
  parts <- lapply(seq_len(nrow(events)), function(k) {
    e <- events[k, ]
    own <- windows[windows$case == e$case, ]
    cuts <- c(e$start - 1, e$end, own$from - 1, own$to, ages - 1)
    cuts <- sort(unique(pmin(pmax(cuts, e$start - 1), e$end)))
    lower <- cuts[-length(cuts)]
    upper <- cuts[-1L]
    part <- data.frame(event_no = k, days = upper - lower,
                       y = as.integer(e$event > lower & e$event <= upper),
                       age = findInterval(upper, ages))
    for (drug in drugs) {
      part[[drug]] <- 0L
      for (w in which(own$drug == drug)) {
        inside <- lower >= own$from[w] - 1 & upper <= own$to[w]
        part[[drug]][inside] <- own$level[w]
      }
    }
    part
  })
  rows <- do.call(rbind, parts)
  for (name in c("age", drugs)) rows[[name]] <- factor(rows[[name]])
  rows
}

# Windows from ages at which each begins, and the age at which the last ends.
windows_of <- function(case, drug, begins, last) {
  begins <- as.matrix(begins)
  n <- ncol(begins)
  found <- lapply(which(!is.na(begins[, 1L])), function(i) {
    from <- begins[i, ]
    to <- c(from[-1L] - 1, last[i])
    # A treatment that ends early cuts its windows short.
    data.frame(case = case[i], drug = drug, from = from, to = to,
               level = seq_len(n), begin = from[1L])
  })
  found <- do.call(rbind, found)
  found[order(found$case, found$begin, found$level), ]
}

fit_windows <- function(rows, drugs) {
  formula <- stats::reformulate(
    c(drugs, "age", "offset(log(days))", "strata(event_no)"),
    "survival::Surv(rep(1, length(y)), y)"
  )
  quiet(cox(formula, rows, ties = "breslow"))
}

compare <- function(data, model, published, ours, se, what) {
  data.frame(
    data = data, model = model, term = what, published = published,
    ours = ours, se = se, difference_in_se = abs(published - ours) / se
  )
}

ages_of <- function(age, step) {
  floor(stats::quantile(age, seq(step, 1 - step, step), names = FALSE))
}

# hip.mod1 of the manual: three risk periods while treated, two washout periods.
age_groups <- ages_of(hipdat$frac, 0.05)
published <- peer$standardsccs(
  event ~ ad + age, indiv = case, astart = sta, aend = end, aevent = frac,
  adrug = ad, aedrug = endad, expogrp = c(0, 15, 43),
  washout = c(1, 92, 182), agegrp = age_groups, data = hipdat
)
begins <- with(hipdat, cbind(ad, pmin(ad + 15, endad + 1),
                             pmin(ad + 43, endad + 1), endad + 1, endad + 92))
windows <- windows_of(hipdat$case, "ad", begins, hipdat$endad + 182)
windows <- windows[windows$to >= windows$from, ]
events <- with(hipdat, data.frame(case, start = sta, end, event = frac))
ours <- fit_windows(cut_events(events, windows, age_groups), "ad")
labels <- c("days 0-14", "days 15-42", "from day 43", "washout days 1-91",
            "washout days 92-182",
            paste("age group", 1 + seq_along(age_groups)))
result <- list(hipdat = compare(
  "hipdat", "hip.mod1", published$coefficients[, "coef"], coef(ours),
  sqrt(diag(ours$var)), labels
))

# con.mod: two vaccines, two risk periods each, ages in groups of 20 days.
age_groups <- seq(387, 707, 20)
published <- peer$standardsccs(
  event ~ hib + mmr + age, indiv = case, astart = sta, aend = end,
  aevent = conv, adrug = cbind(hib, mmr), aedrug = cbind(hib + 14, mmr + 14),
  expogrp = list(c(0, 8), c(0, 8)), agegrp = age_groups, data = condat
)
children <- condat[!duplicated(condat$case), ]
windows <- do.call(rbind, lapply(c("hib", "mmr"), function(drug) {
  given <- children[[drug]]
  windows_of(children$case, drug, cbind(given, given + 8), given + 14)
}))
events <- with(condat, data.frame(case, start = sta, end, event = conv))
ours <- fit_windows(cut_events(events, windows, age_groups), c("hib", "mmr"))
labels <- c("hib days 0-7", "hib days 8-14", "mmr days 0-7", "mmr days 8-14",
            paste("age group", 1 + seq_along(age_groups)))
result$condat <- compare(
  "condat", "con.mod", published$coefficients[, "coef"], coef(ours),
  sqrt(diag(ours$var)), labels
)

# The windows and age groups of mi.mod, without its model of what ends the
# follow-up.
patients <- midat[!duplicated(midat$case), ]
age_groups <- ages_of(patients$mi, 0.1)
published <- peer$standardsccs(
  event ~ rti + age, indiv = case, astart = sta, aend = end, aevent = mi,
  adrug = rti, aedrug = rti + 14, expogrp = c(0, 8), agegrp = age_groups,
  data = midat
)
windows <- windows_of(midat$case, "rti", with(midat, cbind(rti, rti + 8)),
                      midat$rti + 14)
events <- with(patients, data.frame(case, start = sta, end, event = mi))
ours <- fit_windows(cut_events(events, windows, age_groups), "rti")
labels <- c("days 0-7", "days 8-14",
            paste("age group", 1 + seq_along(age_groups)))
result$midat <- compare(
  "midat", "windows of mi.mod", published$coefficients[, "coef"], coef(ours),
  sqrt(diag(ours$var)), labels
)

# ---- weight functions -------------------------------------------------------

# People as wce_self_controlled() takes them: cut at ages and events.
people_of <- function(events, ages) {
  ages <- ages[ages > min(events$start) & ages <= max(events$end)]
  parts <- lapply(split(events, events$case), function(e) {
    cuts <- c(e$start[1L] - 1, e$end[1L], e$event, ages - 1)
    cuts <- sort(unique(pmin(pmax(cuts, e$start[1L] - 1), e$end[1L])))
    upper <- cuts[-1L]
    data.frame(case = e$case[1L], lower = cuts[-length(cuts)], upper = upper,
               y = as.integer(upper %in% e$event),
               age = findInterval(upper, ages))
  })
  people <- do.call(rbind, parts)
  people$age <- factor(people$age)
  people
}

given_once <- function(case, age, drug) {
  found <- unique(data.frame(case, age)[!is.na(age), ])
  data.frame(case = found$case, start = found$age - 1, stop = found$age,
             dose = 1, drug = drug)
}

series <- function(people, records, formula, ...) {
  quiet(wce_self_controlled(formula, data = people, id = "case",
                            records = records, ...))
}

# Step functions are risk windows: the last lag of a step is a day before the
# next knot.
step_windows <- function(fit) fit$exposures[[1L]]$knots - 1

people <- people_of(events, age_groups)
records <- given_once(midat$case, midat$rti, "rti")
formula <- survival::Surv(lower, upper, y) ~ age + exposure("rti")
# First infections alone: windows of further ones would replace those before,
# where a weight function adds up.
first <- patients
steps <- series(people, given_once(first$case, first$rti, "rti"), formula,
                cutoff = 28, order = 1, nknots = 3)
published <- peer$standardsccs(
  event ~ rti + age, indiv = case, astart = sta, aend = end, aevent = mi,
  adrug = rti, aedrug = rti + 27, expogrp = c(0, step_windows(steps)),
  agegrp = age_groups, data = first
)
n <- length(steps$exposures[[1L]]$index)
at <- c(steps$exposures[[1L]]$index, seq_along(coef(steps)))[seq_along(
  coef(steps))]
result$steps <- compare(
  "midat, first infections", "steps of a weight function",
  published$coefficients[, "coef"], coef(steps)[at], sqrt(diag(steps$var))[at],
  c(paste("lags from", c(1, steps$exposures[[1L]]$knots)),
    paste("age group", 1 + seq_along(age_groups)))
)

exact <- do.call(rbind, result)
exact$se <- signif(exact$se, 4)
print(exact[!grepl("^age", exact$term), ], row.names = FALSE, digits = 4)
# Of events and windows both are the same; clogit() stops a little earlier.
stopifnot(exact$difference_in_se < 1e-8)

# ---- smooth -----------------------------------------------------------------

# The mean of the curve over the days of a window, for point exposures.
over_window <- function(fit, from, to, label) {
  hr <- hazard_ratio(fit, lapply(from:to, function(lag) {
    replace(numeric(max(to, lag)), lag, 1)
  }), term = label)
  mean(hr$log_hr)
}
cat_terms <- function(fit) print(smoothness(fit), digits = 3)
beside <- function(data, fit, label, from, to, of, windows) {
  parts <- lapply(seq_along(from), function(k) {
    own <- result[[of]]
    row <- own[own$term == windows[k], ]
    data.frame(
      data = data, model = "smooth = \"reml\", mean over the window",
      term = row$term, published = row$published,
      ours = over_window(fit, from[k], to[k], label), se = row$se
    )
  })
  do.call(rbind, parts)
}

smooth <- series(people, records, formula, cutoff = 60, smooth = "reml")
cat_terms(smooth)
near <- beside("midat", smooth, "exposure(\"rti\")", c(1, 9), c(8, 15),
               "midat", c("days 0-7", "days 8-14"))

events <- with(condat, data.frame(case, start = sta, end, event = conv))
people <- people_of(events, seq(387, 707, 20))
records <- rbind(given_once(condat$case, condat$hib, "hib"),
                 given_once(condat$case, condat$mmr, "mmr"))
smooth <- series(people, records, survival::Surv(lower, upper, y) ~ age +
                   exposure("hib") + exposure("mmr"), cutoff = 42,
                 smooth = "reml")
cat_terms(smooth)
for (drug in c("hib", "mmr")) {
  near <- rbind(near, beside(
    "condat", smooth, sprintf("exposure(\"%s\")", drug), c(1, 9), c(8, 15),
    "condat", paste(drug, "days", c("0-7", "8-14"))
  ))
}

# Days of treatment, each with its weight: what a treatment of so many days
# does.
events <- with(hipdat, data.frame(case, start = sta, end, event = frac))
people <- people_of(events, ages_of(hipdat$frac, 0.05))
treated <- with(hipdat[!is.na(hipdat$ad), ], data.frame(
  case, start = ad - 1, stop = endad, dose = 1, drug = "ad"
))
smooth <- series(people, treated, survival::Surv(lower, upper, y) ~ age +
                   exposure("ad"), cutoff = 180, smooth = "reml")
cat_terms(smooth)
weeks <- c("days 0-14" = 8, "days 15-42" = 29, "from day 43" = 120)
for (k in seq_along(weeks)) {
  # Treated since so many days, against never.
  ratio <- hazard_ratio(smooth, dose_profile(days = weeks[[k]], cutoff = 180))
  own <- result$hipdat
  row <- own[own$term == names(weeks)[k], ]
  near <- rbind(near, data.frame(
    data = "hipdat", model = sprintf("smooth = \"reml\", treated for %d days",
                                     weeks[[k]]),
    term = row$term, published = row$published, ours = ratio$log_hr, se = row$se
  ))
}
near$se <- signif(near$se, 4)
near$difference_in_se <- abs(near$published - near$ours) / near$se
print(near, row.names = FALSE, digits = 3)

all <- rbind(exact, near)
columns <- c("published", "ours")
all[columns] <- lapply(all[columns], round, 8)
all$difference_in_se <- signif(all$difference_in_se, 2)
file <- file.path("bench", "results", "sccs.csv")
writeLines(c(machine_line(), "# log relative incidences"), file)
suppressWarnings(utils::write.table(all, file, sep = ",", row.names = FALSE,
                                    append = TRUE, qmethod = "double"))
