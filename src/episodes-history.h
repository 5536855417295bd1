// The history of one person and class of drugs: from dispensings in order of
// time to pieces of supply, by the rules. See episodes.cpp.
#ifndef VIGITENSOR_EPISODES_HISTORY_H_
#define VIGITENSOR_EPISODES_HISTORY_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace vigitensor {

enum Overlap { kCarryOver = 0, kAdd = 1, kTruncate = 2 };
enum Hospital { kIgnore = 0, kPause = 1, kSupplied = 2, kDiscard = 3 };
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Rules {
  int overlap;
  bool stock_at_new_dose;
  double max_stock, grace, grace_share, tail;
  int hospital;
  bool join;
};

// ---- stays ------------------------------------------------------------------

struct Stays {
  const int* person;
  const double *admission, *discharge;
  std::size_t n;
};

// The stays of one person, on which days at home are counted.
struct Home {
  const double *in = nullptr, *out = nullptr;
  std::size_t n = 0;

  // Calendar to days at home; all days of a stay are that of admission.
  double At(double day) const {
    double away = 0;
    for (std::size_t k = 0; k < n && in[k] < day; ++k) {
      away += std::min(day, out[k]) - in[k];
    }
    return day - away;
  }
  // Back to the calendar: a start after a stay, an end before it.
  double Start(double day) const {
    for (std::size_t k = 0; k < n && day >= in[k]; ++k) day += out[k] - in[k];
    return day;
  }
  double Stop(double day) const {
    for (std::size_t k = 0; k < n && day > in[k]; ++k) day += out[k] - in[k];
    return day;
  }
};

// ---- one history ------------------------------------------------------------

struct Supply {
  int drug;
  double day, days, dose;
  bool once;  // a second one on a day says nothing more (waiting times)
  bool operator<(const Supply& o) const {
    if (drug != o.drug) return drug < o.drug;
    if (once != o.once) return !once;
    if (days != o.days) return days < o.days;
    return dose < o.dose;
  }
};

struct Piece {
  double start, stop, dose;
  double days;           // of its dispensing
  double closed = kInf;  // day on which a switch ended the treatment
};

// The supply of one drug, in order of start.
struct Line {
  int drug;
  std::vector<Piece> pieces;
  double end = -kInf;      // latest stop
  std::size_t latest = 0;  // the piece that has it
};

// Where records go. Without columns they are counted only.
struct Output {
  int *person = nullptr, *drug = nullptr, *spell = nullptr;
  double *start = nullptr, *stop = nullptr, *dose = nullptr;
  std::size_t n = 0;
  double skipped = 0, switched = 0, discarded_days = 0, bridged_days = 0;

  void Add(int of_person, int of_drug, const Piece& p, double from, double to,
           int number) {
    if (person != nullptr) {
      person[n] = of_person;
      drug[n] = of_drug;
      start[n] = from;
      stop[n] = to;
      dose[n] = p.dose;
      spell[n] = number;
    }
    ++n;
  }
};

class History {
 public:
  History(const Rules& rules, Output* out) : rules_(rules), out_(out) {}

  void Begin(int person, const Home& home) {
    person_ = person;
    home_ = home;
    next_stay_ = 0;
    n_lines_ = 0;
  }

  // All dispensings of one day; `batch` is put in order.
  void Take(std::vector<Supply>* batch) {
    if (batch->size() > 1) std::sort(batch->begin(), batch->end());
    const double day = batch->front().day;
    for (std::size_t l = 0; l < n_lines_; ++l) {
      if (!DispensedToday(*batch, lines_[l].drug)) Close(&lines_[l], day);
    }
    Line* line = nullptr;
    for (std::size_t k = 0; k < batch->size(); ++k) {
      const Supply& s = (*batch)[k];
      const bool first = k == 0 || s.drug != (*batch)[k - 1].drug;
      if (!first && s.once) {
        ++out_->skipped;
        continue;
      }
      if (first) line = Find(s.drug);
      Append(line, s, first);
    }
  }

  bool StayBegins(double date) const {
    return rules_.hospital == kDiscard && next_stay_ < home_.n &&
           home_.in[next_stay_] <= date;
  }

  // The day on which a dispensing counts. Days never fall.
  double DayOf(double date) {
    if (rules_.hospital == kPause || rules_.hospital == kSupplied) {
      return home_.At(date);
    }
    if (rules_.hospital == kDiscard) {
      while (StayBegins(date)) Discard();
      if (next_stay_ > 0) return std::max(date, home_.out[next_stay_ - 1]);
    }
    return date;
  }

  void End() {
    if (rules_.hospital == kDiscard) {
      while (next_stay_ < home_.n) Discard();
    }
    std::sort(lines_.begin(), lines_.begin() + n_lines_,
              [](const Line& a, const Line& b) { return a.drug < b.drug; });
    for (std::size_t l = 0; l < n_lines_; ++l) Finish(&lines_[l]);
  }

 private:
  static bool DispensedToday(const std::vector<Supply>& batch, int drug) {
    for (const Supply& s : batch) {
      if (s.drug == drug) return true;
    }
    return false;
  }

  Line* Find(int drug) {
    for (std::size_t l = 0; l < n_lines_; ++l) {
      if (lines_[l].drug == drug) return &lines_[l];
    }
    if (n_lines_ == lines_.size()) lines_.emplace_back();
    Line* line = &lines_[n_lines_++];
    line->drug = drug;
    line->pieces.clear();
    line->end = -kInf;
    line->latest = 0;
    return line;
  }

  // Nothing lasts beyond `day`. Value: the days lost.
  double Cut(Line* line, double day) {
    if (line->end <= day) return 0;
    double lost = 0;
    auto& pieces = line->pieces;
    for (std::size_t k = pieces.size(); k-- > 0;) {
      Piece& p = pieces[k];
      if (p.stop > day) {
        lost += p.stop - std::max(p.start, day);
        p.stop = std::max(day, p.start);
      } else if (rules_.overlap != kAdd) {
        break;
      }
    }
    while (!pieces.empty() && pieces.back().start >= pieces.back().stop) {
      pieces.pop_back();
    }
    Latest(line);
    return lost;
  }

  void Latest(Line* line) const {
    line->end = -kInf;
    const auto& pieces = line->pieces;
    for (std::size_t k = pieces.size(); k-- > 0;) {
      if (pieces[k].stop > line->end) {
        line->end = pieces[k].stop;
        line->latest = k;
      }
      if (rules_.overlap != kAdd) break;
    }
  }

  void Close(Line* line, double day) {
    if (Cut(line, day) > 0) ++out_->switched;
    if (line->pieces.empty()) return;
    Piece& last = line->pieces[line->latest];
    if (last.closed == kInf) last.closed = day;
  }

  void Discard() {
    for (std::size_t l = 0; l < n_lines_; ++l) {
      out_->discarded_days += Cut(&lines_[l], home_.in[next_stay_]);
    }
    ++next_stay_;
  }

  void Append(Line* line, const Supply& s, bool first) {
    double start = s.day, days = s.days;
    if (rules_.overlap == kTruncate) {
      if (first) {
        Cut(line, s.day);
      } else {
        start = std::max(start, line->end);
      }
    } else if (rules_.overlap == kCarryOver) {
      if (first && line->end > s.day + rules_.max_stock) {
        out_->discarded_days += Cut(line, s.day + rules_.max_stock);
      }
      if (first && rules_.stock_at_new_dose && line->end > s.day) {
        double amount = 0;
        for (std::size_t k = line->pieces.size(); k-- > 0;) {
          const Piece& p = line->pieces[k];
          if (p.stop <= s.day) break;
          amount += p.dose * (p.stop - std::max(p.start, s.day));
        }
        Cut(line, s.day);
        days += std::floor(amount / s.dose + 0.5);
      } else {
        start = std::max(start, line->end);
      }
    }
    Bridge(line, start);
    Piece piece{start, start + days, s.dose, s.days, kInf};
    line->pieces.push_back(piece);
    if (piece.stop >= line->end) {
      line->end = piece.stop;
      line->latest = line->pieces.size() - 1;
    }
  }

  // A gap that the grace period allows is filled with the dose before it.
  void Bridge(Line* line, double start) {
    if (line->pieces.empty() || line->end >= start) return;
    Piece& last = line->pieces[line->latest];
    const double allowed =
        rules_.grace + std::floor(rules_.grace_share * last.days + 1e-9);
    if (last.closed < kInf || start - last.stop > allowed) return;
    out_->bridged_days += start - last.stop;
    last.stop = start;
    line->end = start;
  }

  void Finish(Line* line) {
    auto& pieces = line->pieces;
    if (rules_.tail > 0) AddTails(line);
    int spell = 0;
    double end = -kInf;
    const bool split = rules_.hospital == kPause;
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      Piece p = pieces[k];
      if (p.start >= p.stop) continue;
      if (p.start > end) ++spell;
      while (rules_.join && k + 1 < pieces.size() &&
             pieces[k + 1].start == p.stop && pieces[k + 1].dose == p.dose &&
             !StayBetween(p.stop)) {
        p.stop = pieces[++k].stop;
      }
      end = std::max(end, p.stop);
      const bool goes_on = k + 1 < pieces.size() &&
                           pieces[k + 1].start == p.stop &&
                           rules_.overlap != kAdd;
      if (rules_.hospital != kPause && rules_.hospital != kSupplied) {
        Add(*line, p, p.start, p.stop, spell);
      } else if (split) {
        Split(*line, p, spell);
      } else {
        Add(*line, p, home_.Start(p.start),
            goes_on ? home_.Start(p.stop) : home_.Stop(p.stop), spell);
      }
    }
  }

  // Where doses add, a stay between two pieces is in neither of them: joined,
  // they would cover it.
  bool StayBetween(double day) const {
    return rules_.hospital == kSupplied && rules_.overlap == kAdd &&
           home_.Start(day) != home_.Stop(day);
  }

  // The last piece before each gap lasts longer, but not into what follows.
  void AddTails(Line* line) {
    auto& pieces = line->pieces;
    std::size_t latest = 0;
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      if (k == 0 || pieces[k].stop >= pieces[latest].stop) latest = k;
      const bool last = k + 1 == pieces.size();
      const double next = last ? kInf : pieces[k + 1].start;
      Piece& p = pieces[latest];
      if (next <= p.stop) continue;
      p.stop =
          std::min({p.stop + rules_.tail, next, std::max(p.stop, p.closed)});
    }
  }

  void Add(const Line& line, const Piece& p, double from, double to,
           int spell) {
    out_->Add(person_, line.drug, p, from, to, spell);
  }

  void Split(const Line& line, const Piece& p, int spell) {
    double from = home_.Start(p.start);
    const double to = home_.Stop(p.stop);
    for (std::size_t k = 0; k < home_.n && home_.in[k] < to; ++k) {
      if (home_.in[k] <= from) continue;
      Add(line, p, from, home_.in[k], spell);
      from = home_.out[k];
    }
    Add(line, p, from, to, spell);
  }

  const Rules rules_;
  Output* out_;
  int person_ = 0;
  Home home_;
  std::size_t next_stay_ = 0;
  std::vector<Line> lines_;
  std::size_t n_lines_ = 0;
};

}  // namespace vigitensor

#endif  // VIGITENSOR_EPISODES_HISTORY_H_
