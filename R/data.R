#' A simulated cohort with dispensings of two drugs
#'
#' A thousand simulated people followed for at most a year, and what two drugs
#' they were dispensed. `drug_a` raises the risk of the event for some weeks
#' after each dose, `drug_b` does not. No real person is in these data: they
#' were drawn by [simulate_wce()] and the truth is known.
#'
#' The hazard ratio per unit of weighted cumulative exposure is 2 for `drug_a`
#' and 1 for `drug_b`; the weight function of both is
#' `scenario_weights("early_peak", cutoff = 90)`, so the true weight of lag `u`
#' of `drug_a`, as a log hazard ratio per unit of daily dose, is `log(2)` times
#' its value at `u`. The log hazard ratio of `sex` is 0.5, that of `age` is 0.02
#' per year. About a fifth of the people enter late, with their earlier
#' dispensings in the records.
#'
#' @format `claims_people`: a data frame with 1,000 rows, one per person, and
#' the columns
#' \describe{
#'   \item{person_id}{1 to 1000;}
#'   \item{entry, exit}{whole days: at risk on (entry, exit];}
#'   \item{event}{1 when the event happened on day `exit`, otherwise 0;}
#'   \item{sex}{0 or 1;}
#'   \item{age}{years.}
#' }
#'
#' `claims_dispensings`: a data frame with one row per dispensing, and the
#' columns
#' \describe{
#'   \item{person_id}{as in `claims_people`; not everybody is here;}
#'   \item{drug}{`"drug_a"` or `"drug_b"`;}
#'   \item{start, stop}{whole days: the supply lasts for (start, stop];}
#'   \item{dose}{dose per day.}
#' }
#' @source `data-raw/claims.R` in the package's sources: [simulate_wce()] with
#'   `seed = 2026`.
#' @name claims
#' @aliases claims_people claims_dispensings
#' @docType data
#' @keywords datasets
#' @examples
#' head(claims_people)
#' head(claims_dispensings)
#' table(claims_dispensings$drug)
NULL

#' @rdname claims
"claims_people"

#' @rdname claims
"claims_dispensings"
