// The states of a disk that a loss of power may leave, one after the other or by chance, and what
// is asked of each: what the enumerations of the log share. Test-only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "wal/test_crash_workload.h"

namespace arima::wal {

// Salts and chances of different states have nothing in common.
inline uint64_t MixSeed(uint64_t seed, uint64_t number) {
  return SeededRandom(seed * 0x9E3779B97F4A7C15u + number).Next();
}

// Gives all answers to the questions of a PowerLoss, one list of answers at a time. What is asked
// may depend on earlier answers.
//   do { copy->PowerLoss(every); ... } while (every.Next());
class EveryAnswer final : public env::CrashChooser {
 public:
  // Of the first `fates` fates of a sector.
  explicit EveryAnswer(uint64_t fates) : fates_(fates) {}

  env::SectorFate Sector(const std::string&, uint64_t) override {
    return static_cast<env::SectorFate>(Answer(fates_));
  }
  bool KeepSize(const std::string&) override { return Answer(2) == 1; }
  bool KeepDirChange(const std::string&, const std::string&) override { return Answer(2) == 1; }

  bool Next() {
    while (!answers_.empty() && answers_.back().value + 1 == answers_.back().base) {
      answers_.pop_back();
    }
    asked_ = 0;
    if (answers_.empty()) return false;
    ++answers_.back().value;
    return true;
  }
  std::string text() const {
    std::string digits;
    for (const Digit& digit : answers_) digits += static_cast<char>('0' + digit.value);
    return "answers " + digits;
  }

 private:
  struct Digit {
    uint64_t value = 0;
    uint64_t base = 0;
  };
  uint64_t Answer(uint64_t base) {
    if (asked_ == answers_.size()) answers_.push_back({0, base});
    return answers_[asked_++].value;
  }
  const uint64_t fates_;
  std::vector<Digit> answers_;
  size_t asked_ = 0;
};

// As many questions as there can be.
struct CountQuestions final : env::CrashChooser {
  env::SectorFate Sector(const std::string&, uint64_t) override {
    ++sectors;
    return env::SectorFate::kNew;
  }
  bool KeepSize(const std::string&) override { return Ask(); }
  bool KeepDirChange(const std::string&, const std::string&) override { return Ask(); }
  bool Ask() {
    ++others;
    return true;
  }
  // How many lists of answers there are with `fates` fates, or `limit` if that is less.
  uint64_t Lists(uint64_t fates, uint64_t limit) const {
    uint64_t lists = 1;
    for (uint64_t i = 0; i < others && lists < limit; ++i) lists *= 2;
    for (uint64_t i = 0; i < sectors && lists < limit; ++i) lists *= fates;
    return std::min(lists, limit);
  }
  uint64_t sectors = 0;
  uint64_t others = 0;
};

// By chance, in several manners: everything equally likely; old or new; nearly all new; nearly all
// old; what was written first or last only, torn where it ends.
class MixedCrash final : public env::CrashChooser {
 public:
  explicit MixedCrash(uint64_t seed)
      : random_(seed), manner_(random_.Below(6)), until_(random_.Below(12)) {}

  env::SectorFate Sector(const std::string&, uint64_t) override {
    using env::SectorFate;
    switch (manner_) {
      case 0:
        return static_cast<SectorFate>(random_.Below(env::kSectorFates));
      case 1:
        return random_.Percent(50) ? SectorFate::kNew : SectorFate::kOld;
      case 2:
        return Mostly(SectorFate::kNew);
      case 3:
        return Mostly(SectorFate::kOld);
      default: {
        const bool first = manner_ == 4;
        const uint64_t at = asked_++;
        if (at == until_ && random_.Percent(50)) return SectorFate::kTorn;
        return (at < until_) == first ? SectorFate::kNew : SectorFate::kOld;
      }
    }
  }
  bool KeepSize(const std::string&) override { return random_.Percent(60); }
  bool KeepDirChange(const std::string&, const std::string&) override {
    return random_.Percent(manner_ == 2 ? 80 : 50);
  }

 private:
  env::SectorFate Mostly(env::SectorFate fate) {
    if (random_.Percent(90)) return fate;
    return static_cast<env::SectorFate>(random_.Below(env::kSectorFates));
  }
  SeededRandom random_;
  const uint64_t manner_;
  const uint64_t until_;
  uint64_t asked_ = 0;
};

// The disk before an operation, or at the end.
struct Moment {
  std::string text;
  std::unique_ptr<env::MemEnv> disk;
  Allowed allowed;
  Exposed exposed;
};

inline bool SameLog(const RecoveredLog& a, const RecoveredLog& b) {
  return a.hard_state == b.hard_state && a.snapshot_index == b.snapshot_index &&
         a.snapshot_term == b.snapshot_term && a.last == b.last && a.term_runs == b.term_runs &&
         a.conf_entries == b.conf_entries;
}

// One disk as a crash left it, from life to life: recovered, recovered again without a change,
// written to where unacknowledged entries may have been, recovered again, closed. Power is lost
// between the lives. After the first one nothing is left to chance: what came back stays, what did
// not stays away.
class AfterCrash {
 public:
  AfterCrash(std::unique_ptr<env::MemEnv> disk, uint64_t seed)
      : disk_(std::move(disk)), seed_(seed), random_(seed) {}

  void Check(const Allowed& allowed) {
    if (!FirstLife(allowed)) return;
    const RecoveredLog first = found_;
    const Allowed same{{model_}, found_.snapshot_index.value};
    if (!NextLife(same)) return;
    EXPECT_TRUE(SameLog(found_, first)) << "not the same a second time: " << found_.text;
    const Allowed written = Write(allowed.cut_max);
    if (testing::Test::HasFailure() || !NextLife(written)) return;
    if (seed_ % 8 == 0) CheckClose();
  }

 private:
  // The log may be missing if it was never there; then it is made.
  bool FirstLife(const Allowed& allowed) {
    const WalOptions options = Options();
    auto wal = Wal::Open(*disk_, options, &found_);
    if (!wal && allowed.none && wal.error().code == Code::kNotFound) {
      auto made = Wal::Create(*disk_, options, Point(1, 1), Hard(1, 0, 1));
      if (!made) ADD_FAILURE() << "not made: " << made.error().message;
      if (!made) return false;
      made->reset();
      wal = Wal::Open(*disk_, Options(), &found_);
    }
    if (!wal) {
      ADD_FAILURE() << "not recovered: " << wal.error().message;
      return false;
    }
    wal_ = std::move(*wal);
    return Took(allowed);
  }
  bool NextLife(const Allowed& allowed) {
    wal_.reset();
    if (random_.Percent(90)) {
      MixedCrash crash(random_.Next());
      disk_->PowerLoss(crash);
    }
    wal_ = MustOpen(*disk_, Options(), &found_);
    return wal_ != nullptr && Took(allowed);
  }
  bool Took(const Allowed& allowed) {
    auto model = Match(*wal_, found_, allowed);
    if (model) model_ = std::move(*model);
    return model.has_value();
  }
  // Something synced, then something that is not; over what was not committed, or behind it.
  Allowed Write(uint64_t cut_max) {
    Allowed next{{}, cut_max};
    const uint64_t floor = std::max(model_.hard_state.commit.value, found_.snapshot_index.value);
    uint64_t low =
        random_.Percent(50) ? model_.last() + 1 : random_.Between(floor + 1, model_.last() + 1);
    for (const bool sync : {true, false}) {
      const uint64_t term = std::max(model_.last_term(), model_.hard_state.term.value) + 1;
      const auto entries =
          MakeEntries(low, low + 1 + random_.Below(3), term, 1 + random_.Below(3000));
      const Batch batch{.hard_state = Hard(term, 9, model_.hard_state.commit.value),
                        .entries = entries};
      if (Status written = wal_->Append(batch, sync); !written) {
        ADD_FAILURE() << "no append after the recovery: " << written.error().message;
        return next;
      }
      model_.Apply(batch);
      next.models.push_back(model_);
      low = model_.last() + 1;
    }
    return next;
  }
  void CheckClose() {
    Status closed = wal_->Close();
    ASSERT_TRUE(closed) << closed.error().message;
    const Allowed same{{model_}, found_.snapshot_index.value};
    if (!NextLife(same)) return;
    EXPECT_EQ(found_.ending, Ending::kClosed) << found_.text;
  }
  WalOptions Options() { return TestOptions(random_.Next()); }

  const std::unique_ptr<env::MemEnv> disk_;
  const uint64_t seed_;
  SeededRandom random_;
  std::unique_ptr<Wal> wal_;
  RecoveredLog found_;
  Model model_;
};

}  // namespace arima::wal
