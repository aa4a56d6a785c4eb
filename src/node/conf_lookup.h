// Who is who in a configuration. A name may stand for two members at once: for one whose data
// directory is lost, and for its successor until that one has caught up (docs/design/raft.md 8.6).
//
// Pure functions, any thread. Pointers lead into the configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "raft/core.h"

namespace arima::node {

// Attributes of a learner. `auto_promote`: a join is under way, whoever leads makes it a voter.
// `replaces`: the member, by id in decimal, whose vote it takes over in the same change.
inline constexpr char kAutoPromote[] = "auto_promote";
inline constexpr char kReplaces[] = "replaces";

// Null: none.
const raft::MemberInfo* Find(const raft::ConfState& conf, raft::MemberId id);
bool IsVoter(const raft::ConfState& conf, raft::MemberId id);
// In the order of their ids.
std::vector<const raft::MemberInfo*> FindAllByName(const raft::ConfState& conf,
                                                   const std::string& name);
// The one that a join is about: the learner that waits for promotion, else the first. May be null.
const raft::MemberInfo* FindByName(const raft::ConfState& conf, const std::string& name);
// The newest member that this data directory was admitted as; null: none.
const raft::MemberInfo* FindByDirectory(const raft::ConfState& conf, const std::string& name,
                                        const Uuid& incarnation);
// A member of another name at that address; null: none.
const raft::MemberInfo* FindOtherAtAddress(const raft::ConfState& conf, const std::string& address,
                                           const std::string& name);
// The member that `successor` replaces, if it still is one of the same name; else null.
const raft::MemberInfo* FindReplaced(const raft::ConfState& conf,
                                     const raft::MemberInfo& successor);

// On the leader: the member was heard within `within_ns`.
bool HeardOf(const raft::CoreStatus& status, raft::MemberId id, uint64_t now_ns,
             uint64_t within_ns);
// On the leader: a majority is heard even without `without`.
bool HasLiveQuorumWithout(const raft::CoreStatus& status, raft::MemberId without, uint64_t now_ns,
                          uint64_t within_ns);

}  // namespace arima::node
