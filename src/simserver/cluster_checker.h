// ClusterChecker: the checkers of levels 0 and 1 (src/sim), fed with what the cores of whole nodes
// put out (docs/design/raft.md 7.3): I1 to I7, I10, I12, I17, I20; I8 of commits; and
//
//   I9  a log that is opened again is the one that was reported durable, with more of what the core
//       gave to the writer or without, but nothing else
//   I18 a log begins anew only behind a snapshot that this member was told to install
//
// One for each cluster, because members of different clusters have equal ids. What a disk holds is
// modelled: what the log writer reported done. One thread; call in the order of virtual time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "raft/core.h"
#include "sim/durability_checker.h"
#include "sim/election_checker.h"
#include "sim/log_checker.h"
#include "sim/membership_checker.h"
#include "sim/sim_disk.h"
#include "sim/verdict.h"
#include "simserver/log_content.h"

namespace arima::simserver {

class ClusterChecker {
 public:
  explicit ClusterChecker(sim::Verdict* verdict);

  // A core begins on what was found on the disk; `log`: the entries that lie there, and perhaps
  // more of those before its snapshot point.
  void OnOpened(raft::MemberId member, const raft::CoreStatus& status, const LogContent& log);
  // Before anything of it leaves the node; after OnOpened.
  void OnOutput(raft::MemberId member, const raft::Output& out);
  // The log has done the write of this number, and all before. `applied`: what a crash would leave
  // in the database.
  void OnWritten(raft::MemberId member, uint64_t seq, raft::Index applied);
  void OnReleased(const raft::Message& message);
  // Its disk is lost: whoever comes back on another one has another id.
  void OnWiped(raft::MemberId member) { Known(member).wiped = true; }

  uint64_t leaders() const { return elections_.leaders(); }
  raft::Index committed() const { return logs_.committed(); }
  // Of all configurations that were active anywhere; null: none yet.
  std::shared_ptr<const raft::ConfState> newest() const;
  uint64_t configurations() const { return members_.history().size(); }

 private:
  struct Member {
    sim::SimDisk disk;
    std::deque<raft::Write> under_way;
    std::set<raft::Index> installs;  // snapshots that it was told to install
    std::shared_ptr<const raft::ConfState> conf;
    raft::SoftState soft;
    raft::Index commit;
    uint32_t life = 0;  // counts cores
    bool wiped = false;
  };

  Member& Known(raft::MemberId member);
  static size_t Number(raft::MemberId member) { return member.value - 1; }
  void Begin(raft::MemberId member, const raft::CoreStatus& status);
  // What was reported, then with ever more of what was under way; false: none of it was found.
  static bool Find(Member* known, const raft::CoreStatus& status, const LogContent& log);
  // `counted_with` was the configuration before.
  void OnCommit(raft::MemberId member, raft::Index commit, const raft::ConfState& counted_with,
                bool leading);

  sim::Verdict* const verdict_;
  sim::MembershipChecker members_;
  sim::LogChecker logs_;
  sim::ElectionChecker elections_;
  sim::DurabilityChecker durability_;
  std::deque<Member> known_;  // by id; DurabilityChecker looks at their disks
};

}  // namespace arima::simserver
