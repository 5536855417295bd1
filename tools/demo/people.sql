-- One row per person: the follow-up, the outcome and the covariates.
--
-- Time is counted in days since the person's observation began. In these data
-- that is the day of birth or the day after, so that time is age, and a risk set
-- compares people of the same age; the year of birth is a covariate.
--
-- Calendar day D is the interval (D, D + 1]: follow-up that ends on day D stops
-- at D + 1, and so does an event on that day.
WITH first_event AS (
  SELECT person_id, min(condition_start_date) AS event_date
  FROM condition_occurrence
  WHERE condition_concept_id IN (
    SELECT concept_id FROM concept WHERE concept_name = 'Chronic sinusitis'
  )
  GROUP BY person_id
),
followed AS (
  SELECT
    person_id,
    CASE gender_concept_id WHEN 8507 THEN 'male' WHEN 8532 THEN 'female' END
      AS sex,
    year_of_birth,
    date_diff('day', observation_period_start_date,
              observation_period_end_date) AS last_day,
    date_diff('day', observation_period_start_date, event_date) AS event_day
  FROM person
  JOIN observation_period USING (person_id)
  LEFT JOIN first_event USING (person_id)
)
SELECT
  person_id,
  sex,
  year_of_birth,
  0 AS entry,
  least(coalesce(event_day, last_day), last_day) + 1 AS exit,
  CAST(coalesce(event_day <= last_day, FALSE) AS INTEGER) AS event
FROM followed
-- Who had the outcome before the observation began is no longer at risk.
WHERE event_day IS NULL OR event_day >= 0
ORDER BY person_id
