# Golden numbers (tests/golden) and the calls that they belong to.

golden_path <- function(file) testthat::test_path("..", "golden", file)

# The engines that this machine has: every comparison runs on each of them.
engines_here <- function() {
  c("reference", if (engine_available()) "cpu")
}

with_engine <- function(engine, code) {
  withr::with_options(list(vigitensor.engine = engine), code)
}

golden_roles <- list(
  daily = list(id = "Id", event = "Event", start = "Start", stop = "Stop",
               expos = "dose"),
  ties = list(id = "person", event = "case", start = "from", stop = "to",
              expos = "mg"),
  drugdata = list(id = "Id", event = "Event", start = "Start", stop = "Stop",
                  expos = "dose")
)

golden_data <- function(name) {
  if (name == "drugdata") return(utils::read.csv(shared_file()))
  utils::read.csv(golden_path(sprintf("golden-%s.csv.gz", name)))
}

# drugdata.csv.gz, where VIGITENSOR_SHARED says, or NULL.
shared_file <- function() {
  folder <- Sys.getenv("VIGITENSOR_SHARED")
  if (!nzchar(folder)) return(NULL)
  files <- file.path(folder, c("drugdata.csv.gz", "data/drugdata.csv.gz"))
  found <- files[file.exists(files)]
  if (length(found) == 0L) stop("VIGITENSOR_SHARED has no drugdata.csv.gz")
  found[1L]
}

golden_cases <- function(file) {
  cases <- utils::read.csv(golden_path(file), na.strings = "",
                           colClasses = "character")
  lapply(split(cases, seq_len(nrow(cases))), function(case) {
    words <- function(x) if (is.na(x)) NULL else strsplit(x, " ")[[1L]]
    list(
      case = case$case, data = case$data, cutoff = as.integer(case$cutoff),
      constrained = if (case$constrained == "FALSE") FALSE else
        case$constrained,
      nknots = as.numeric(words(case$nknots)), aic = as.logical(case$aic),
      covariates = words(case$covariates), controls = case$controls
    )
  })
}

golden_fit <- function(case, data) {
  do.call(WCE, c(
    list(data = data), golden_roles[[case$data]],
    case[c("nknots", "cutoff", "constrained", "aic")],
    list(covariates = case$covariates)
  ))
}

# Everything that make-wce.R writes down, from a fit: same order, same labels.
golden_lines <- function(fit, case) {
  lines_of <- function(quantity, model, x) {
    if (is.null(dim(x))) x <- matrix(x, 1L, dimnames = list(NULL, names(x)))
    label <- function(names, n) {
      if (is.null(names)) as.character(seq_len(n)) else names
    }
    data.frame(
      quantity = quantity, model = model,
      row = rep(label(rownames(x), nrow(x)), ncol(x)),
      col = rep(label(colnames(x), ncol(x)), each = nrow(x)),
      value = as.vector(x)
    )
  }
  m <- case$cutoff
  profile <- list(always = rep(1, m), recent = as.numeric(seq_len(m) <= m / 3),
                  alternate = rep_len(c(2, 0), m), never = numeric(m))
  pairs <- list(c("always", "never"), c("recent", "never"),
                c("alternate", "never"), c("recent", "alternate"))
  models <- sub(" .*", "", names(fit$knotsmat))
  do.call(rbind, c(
    list(lines_of("loglik", "all", fit$loglik),
         lines_of("criterion", "all", fit$info.criterion),
         lines_of("nevents", "all", fit$nevents),
         lines_of("WCEmat", "all", fit$WCEmat)),
    if (!is.null(fit$covariates)) {
      list(lines_of("beta", "all", fit$beta.hat.covariates),
           lines_of("se", "all", fit$se.covariates))
    },
    lapply(seq_along(models), function(k) {
      rbind(lines_of("knots", models[k], fit$knotsmat[[k]]),
            lines_of("est", models[k], fit$est[[k]]),
            lines_of("SED", models[k], fit$SED[[k]]),
            lines_of("vcov", models[k], fit$vcovmat[[k]]))
    }),
    lapply(pairs, function(pair) {
      all <- HR.WCE(fit, profile[[pair[1L]]], profile[[pair[2L]]],
                    allres = TRUE)
      best <- HR.WCE(fit, profile[[pair[1L]]], profile[[pair[2L]]])
      name <- paste(pair, collapse = " / ")
      colnames(all) <- name
      rbind(lines_of("HR", "all", all),
            lines_of("HR best", "all", stats::setNames(as.vector(best), name)))
    })
  ))
}

# Differences are relative to the largest number of the same block (case,
# quantity, model), so that a coefficient near zero is compared with its
# neighbours. "tight": both at the optimum, only rounding is left. "default":
# coxph stops when a step changes the log-likelihood by less than 1e-9 of its
# value, so the peer's coefficients are off by up to a few 1e-8.
golden_tolerance <- function(quantity, controls) {
  coarse <- controls == "default"
  ifelse(quantity %in% c("loglik", "criterion"), if (coarse) 1e-8 else 1e-10,
         ifelse(quantity %in% c("nevents", "knots"), 0,
                if (coarse) 1e-6 else 1e-8))
}

golden_difference <- function(got, expected) {
  block <- interaction(expected$quantity, expected$model, drop = TRUE)
  scale <- stats::ave(abs(expected$value), block, FUN = function(x) {
    max(x, na.rm = TRUE)
  })
  abs(got$value - expected$value) / scale
}

expect_golden <- function(fit, case, expected) {
  expected <- expected[expected$case == case$case, ]
  got <- golden_lines(fit, case)
  keys <- c("quantity", "model", "row", "col")
  expect_identical(lapply(got[keys], as.character),
                   lapply(expected[keys], as.character), info = case$case)
  expect_identical(is.na(got$value), is.na(expected$value), info = case$case)
  off <- golden_difference(got, expected)
  far <- which(off > golden_tolerance(expected$quantity, case$controls))
  expect_identical(
    sprintf("%s %s %s: %.2g", expected$quantity, expected$row, expected$col,
            off)[far], character(), info = case$case
  )
}
