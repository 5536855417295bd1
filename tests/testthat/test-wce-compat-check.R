# Every fault has its own class, names rows, and comes with all others.

unit_rows <- function() {
  golden_data("daily")[, c("Id", "Event", "Start", "Stop", "dose", "sex")]
}

roles <- list(id = "Id", event = "Event", start = "Start", stop = "Stop",
              expos = "dose")

fit_with <- function(data = unit_rows(), ...) {
  settings <- utils::modifyList(
    c(list(nknots = 1, cutoff = 20, covariates = "sex"), roles), list(...)
  )
  do.call(WCE, c(list(data), settings))
}

fault_of <- function(data, ...) {
  tryCatch(fit_with(data, ...), vigitensor_error = identity)
}

# The fault `code`, and no other, at these rows.
expect_fault <- function(data, code, rows, ...) {
  fault <- fault_of(data, ...)
  expect_s3_class(fault, paste0("vigitensor_error_", code))
  expect_identical(fault$faults$code, code)
  expect_identical(fault$rows[[code]], rows)
}

refuses <- function(code, ...) {
  expect_error(fit_with(...), class = paste0("vigitensor_error_", code))
}

set <- function(data, column, rows, value) {
  data[[column]][rows] <- value
  data
}

withr::local_options(vigitensor.engine = "reference")

# ---- arguments --------------------------------------------------------------

test_that("settings are refused with their own class", {
  refuses("analysis", analysis = "NCC")
  refuses("analysis", analysis = "cox")
  refuses("analysis", MatchedSet = "set")
  refuses("constrained", constrained = "Both")
  refuses("constrained", constrained = TRUE)
  refuses("nknots", nknots = 0)
  refuses("nknots", nknots = 1.5)
  refuses("nknots", nknots = NA)
  refuses("too_many_knots", nknots = 17)
  refuses("cutoff", cutoff = 0)
  refuses("cutoff", cutoff = 90.5)
  refuses("cutoff", cutoff = 102)
  refuses("aic", aic = NA)
  refuses("controls", controls = list(rounds = 3))
  refuses("unknown_argument", int.knots = 5)
  refuses("unknown_argument", weights = 1)
})

test_that("an argument that is missing is named", {
  expect_error(WCE(unit_rows(), "Cox", 1, 20, event = "Event"),
               "`id`, `start`, `stop`, `expos`",
               class = "vigitensor_error_missing_argument")
  expect_error(WCE(unit_rows()), class = "vigitensor_error_missing_argument")
})

test_that("a column that is missing is named, a misspelt covariate too", {
  expect_error(fit_with(covariates = c("sex", "agee")), "`agee`.*`covariates`",
               class = "vigitensor_error_missing_column")
  expect_error(fit_with(expos = "doses"), "`doses`.*`expos`",
               class = "vigitensor_error_missing_column")
  refuses("missing_column", id = 1)
  refuses("missing_column", covariates = 6)
  refuses("duplicated_covariate", covariates = c("sex", "sex"))
  refuses("data_type", data = as.matrix(unit_rows()))
})

# ---- data -------------------------------------------------------------------

test_that("a gap is found in any patient and refused", {
  data <- unit_rows()
  inner <- which(data$Id == 7 & data$Start == 5)
  # Row numbers are those of the data given: after the removal, the same place.
  expect_fault(data[-inner, ], "gap", inner)
  first <- which(data$Id == 1 & data$Start == 5)
  expect_fault(data[-first, ], "gap", first)
})

test_that("overlapping and repeated rows are refused", {
  data <- unit_rows()
  data <- data[c(1:10, 10:nrow(data)), ]
  expect_fault(data, "overlapping_rows", 11L)
  one_id <- unit_rows()
  one_id$Id[one_id$Id == 2] <- 1
  fault <- fault_of(one_id)
  expect_identical(fault$faults$code, "overlapping_rows")
  expect_identical(fault$faults$n_rows, sum(unit_rows()$Id == 2))
})

test_that("rows of mixed length are refused", {
  data <- unit_rows()
  last <- which(data$Id == 3 & data$Start == 20)
  data <- data[-(last + 1L), ]
  data$Stop[last] <- 22
  expect_fault(data, "row_length", last)
})

test_that("rows off the common grid are refused", {
  data <- unit_rows()
  rows <- which(data$Id == 4)
  data[rows, c("Start", "Stop")] <- data[rows, c("Start", "Stop")] + 0.5
  expect_fault(data, "row_alignment", rows)
})

test_that("missing and infinite values are refused in any column used", {
  data <- unit_rows()
  for (column in c("Id", "Event", "Start", "Stop", "dose", "sex")) {
    expect_fault(set(data, column, c(5, 9), NA), "missing_values", c(5L, 9L))
  }
  expect_fault(set(transform(data, Id = paste(Id)), "Id", 8, NA),
               "missing_values", 8L)
  expect_fault(set(transform(data, sex = factor(sex)), "sex", 8, NA),
               "missing_values", 8L)
  expect_fault(set(data, "dose", 6, Inf), "infinite_values", 6L)
  expect_s3_class(fit_with(transform(data, unused = NA)), "wce_compat")
})

test_that("columns must be of a usable type", {
  data <- unit_rows()
  expect_fault(transform(data, dose = as.character(dose)), "non_numeric",
               integer())
  expect_fault(transform(data, Event = factor(Event)), "non_numeric",
               integer())
  expect_fault(transform(data, Start = as.POSIXct("2020-01-01") + Start),
               "non_numeric", integer())
  expect_fault(transform(data, sex = as.Date("2020-01-01") + sex),
               "non_numeric", integer())
  expect_fault(transform(data, Start = as.Date("2020-01-01") + Start),
               "mixed_time", integer())
})

test_that("impossible values are refused", {
  data <- unit_rows()
  expect_fault(set(data, "dose", 3:4, -1), "negative_dose", 3:4)
  expect_fault(set(data, "Stop", 7, data$Start[7]), "stop_before_start", 7L)
  expect_fault(set(data, "Event", 2, 2), "event_values", 2L)
  expect_fault(set(data, "Event", 2, 0.5), "event_values", 2L)
  coded <- transform(data, Event = Event + 1)
  expect_fault(coded, "event_values", which(coded$Event == 2))
  expect_fault(transform(data, Event = 0), "no_event", integer())
  expect_fault(data[0, ], "empty_data", integer())
})

test_that("all faults of one data set come together, without ids or values", {
  data <- unit_rows()
  data$Id <- 900000000000 + data$Id
  data <- set(set(data, "dose", 50, -77.25), "sex", 60, NA)[-5, ]
  data$Event[100] <- 3
  fault <- fault_of(data)
  expect_setequal(fault$faults$code, c("negative_dose", "missing_values", "gap",
                                       "event_values"))
  expect_identical(fault$rows$gap, 5L)
  expect_s3_class(fault, "vigitensor_error_gap")
  expect_s3_class(fault, "vigitensor_error_negative_dose")
  text <- conditionMessage(fault)
  expect_false(grepl("77.25|90000000", text))
})

# ---- checkWCE ---------------------------------------------------------------

test_that("checkWCE() says when the data are fine", {
  expect_output(
    check <- withVisible(do.call(checkWCE, c(list(unit_rows()), roles))),
    "form that WCE\\(\\) needs"
  )
  expect_false(check$visible)
  expect_true(check$value$ok)
  expect_identical(nrow(check$value$faults), 0L)
  late <- unit_rows()
  late <- late[!(late$Id == 2 & late$Start < 10), ]
  expect_output(do.call(checkWCE, c(list(late[order(late$Stop), ]), roles)),
                "form that")
})

test_that("checkWCE() prints one note per fault and gives the rows", {
  data <- unit_rows()
  inner <- which(data$Id == 7 & data$Start == 5)
  data <- set(data[-inner, ], "dose", 1, NA)
  expect_output(check <- do.call(checkWCE, c(list(data), roles)),
                "missing values.*must begin where")
  expect_false(check$ok)
  expect_identical(check$faults$code, c("missing_values", "gap"))
  expect_identical(check$faults$n_rows, c(1L, 1L))
  expect_identical(check$rows, list(missing_values = 1L, gap = inner))
  expect_output(checkWCE(as.list(data), "Id", "Event", "Start", "Stop", "dose"),
                "must be a data frame")
})

test_that("checkWCE() stops on missing arguments and columns", {
  expect_error(checkWCE(unit_rows(), "Id", "Event", "Start", "Stop"),
               "`expos`", class = "vigitensor_error_missing_argument")
  expect_error(
    checkWCE(unit_rows(), "Id", "Event", "Start", "Stop", "doses"),
    class = "vigitensor_error_missing_column"
  )
})
