// Membership algebra (docs/design/raft.md 1.9; Raft thesis chapter 4; the joint part follows the
// paper's section 6).
//
// A change edits the id lists of a copy of the configuration, in order. Whether the copy is a joint
// configuration is fixed before the first edit, because it decides where a demoted voter goes: a
// voter that still counts in the outgoing majority may not be a learner at the same time, so it
// waits in learners_next. `members` is cut to the lists only after the last edit: a member that one
// change removes and adds again keeps its id and its addresses.
//
// Ids: a new member takes next_member_id, which only grows. An id below it that is not a member
// belonged to somebody who was removed, and is refused for ever: two processes under one id is the
// shortest way to two leaders.

#include "raft/conf_change.h"

#include <algorithm>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/quorum.h"

namespace arima::raft {
namespace {

using Ids = std::vector<MemberId>;

constexpr size_t kNameBytesMax = 255;
constexpr size_t kAddressBytesMax = 512;
constexpr size_t kAttributesBytesMax = 1024;

bool Contains(const Ids& ids, MemberId id) {
  return std::binary_search(ids.begin(), ids.end(), id);
}

void Insert(Ids* ids, MemberId id) {
  auto at = std::lower_bound(ids->begin(), ids->end(), id);
  if (at == ids->end() || *at != id) ids->insert(at, id);
}

void Erase(Ids* ids, MemberId id) {
  auto at = std::lower_bound(ids->begin(), ids->end(), id);
  if (at != ids->end() && *at == id) ids->erase(at);
}

bool IsMember(const ConfState& conf, MemberId id) {
  return Contains(conf.voters, id) || Contains(conf.voters_outgoing, id) ||
         Contains(conf.learners, id) || Contains(conf.learners_next, id);
}

std::string Text(MemberId id) { return std::to_string(id.value); }

Status CheckMember(const MemberInfo& info) {
  auto check = [&](std::string_view field, size_t bytes, size_t bytes_max) -> Status {
    if (bytes <= bytes_max) return {};
    return Fail(Code::kTooLarge, "member " + Text(info.id) + ": " + std::string(field) + " has " +
                                     std::to_string(bytes) + " bytes, the limit is " +
                                     std::to_string(bytes_max));
  };
  size_t attributes = 0;
  for (const auto& [key, value] : info.attributes) attributes += key.size() + value.size();
  if (Status s = check("name", info.name.size(), kNameBytesMax); !s) return s;
  if (Status s = check("raft address", info.raft_address.size(), kAddressBytesMax); !s) return s;
  if (Status s = check("http address", info.http_address.size(), kAddressBytesMax); !s) return s;
  return check("attributes", attributes, kAttributesBytesMax);
}

// Edits one configuration, item by item.
class Changer {
 public:
  Changer(const ConfState& base, bool enter_joint) : conf_(base) {
    if (enter_joint && !ARIMA_MUTANT(61)) conf_.voters_outgoing = conf_.voters;
  }

  Status Apply(const ConfChangeItem& item) {
    switch (item.op) {
      case ConfOp::kAddVoter:
      case ConfOp::kAddLearner:
        return Add(item);
      case ConfOp::kRemove:
        Remove(item.info.id);
        return {};
      case ConfOp::kUpdate:
        return Update(item.info);
    }
    return Fail(Code::kInvalidArgument,
                "unknown membership operation " + std::to_string(static_cast<unsigned>(item.op)));
  }

  ConfState Finish() && {
    std::erase_if(conf_.members, [&](const auto& m) { return !IsMember(conf_, m.first); });
    return std::move(conf_);
  }

 private:
  Status Add(const ConfChangeItem& item) {
    MemberId id = item.info.id;
    if (!id || !conf_.members.contains(id)) {
      Result<MemberId> made = NewMember(item.info);
      if (!made) return std::unexpected(made.error());
      id = *made;
    }
    if (item.op == ConfOp::kAddVoter) {
      Erase(&conf_.learners, id);
      Erase(&conf_.learners_next, id);
      Insert(&conf_.voters, id);
    } else {
      Erase(&conf_.voters, id);
      bool counts_still = Contains(conf_.voters_outgoing, id);
      Insert(counts_still ? &conf_.learners_next : &conf_.learners, id);
    }
    return {};
  }

  Result<MemberId> NewMember(MemberInfo info) {
    if (!info.id) info.id = conf_.next_member_id;
    if (ARIMA_MUTANT(40) && !conf_.members.contains(info.id - 1)) info.id = info.id - 1;
    if (info.id < conf_.next_member_id && !ARIMA_MUTANT(40)) {
      return Fail(Code::kInvalidArgument,
                  "member id " + Text(info.id) + " is not a member and ids are never reused");
    }
    if (info.id.value == std::numeric_limits<uint64_t>::max()) {
      return Fail(Code::kInvalidArgument, "member id " + Text(info.id) + " is out of range");
    }
    if (Status s = CheckMember(info); !s) return std::unexpected(s.error());
    conf_.next_member_id = info.id + 1;
    MemberId id = info.id;
    conf_.members.emplace(id, std::move(info));
    return id;
  }

  void Remove(MemberId id) {
    Erase(&conf_.voters, id);
    Erase(&conf_.learners, id);
    Erase(&conf_.learners_next, id);
  }

  // The incarnation is pinned once known: another data directory is another member.
  Status Update(const MemberInfo& info) {
    auto found = conf_.members.find(info.id);
    if (found == conf_.members.end() || !IsMember(conf_, info.id)) {
      return Fail(Code::kNotFound, "no member " + Text(info.id) + " to update");
    }
    MemberInfo updated = info;
    const Uuid& pinned = found->second.incarnation;
    if (updated.incarnation.IsZero()) updated.incarnation = pinned;
    if (!pinned.IsZero() && updated.incarnation != pinned) {
      return Fail(Code::kConflict, "member " + Text(info.id) + " has another incarnation");
    }
    if (Status s = CheckMember(updated); !s) return s;
    found->second = std::move(updated);
    return {};
  }

  ConfState conf_;
};

Result<ConfState> ApplyItems(const ConfState& conf, const ConfChange& change, bool enter_joint) {
  Changer changer(conf, enter_joint);
  for (const ConfChangeItem& item : change.changes) {
    if (Status s = changer.Apply(item); !s) return std::unexpected(s.error());
  }
  return std::move(changer).Finish();
}

ConfState LeaveJoint(const ConfState& conf) {
  ConfState next = conf;
  next.voters_outgoing.clear();
  for (MemberId id : next.learners_next) Insert(&next.learners, id);
  next.learners_next.clear();
  next.auto_leave = false;
  std::erase_if(next.members, [&](const auto& m) { return !IsMember(next, m.first); });
  return next;
}

// Ids in exactly one of the two lists.
size_t VotersChanged(const Ids& before, const Ids& after) {
  Ids difference;
  std::set_symmetric_difference(before.begin(), before.end(), after.begin(), after.end(),
                                std::back_inserter(difference));
  return difference.size();
}

Result<ConfState> ChangeVoters(const ConfState& conf, const ConfChange& change) {
  if (change.transition > ConfTransition::kJointExplicit) {
    return Fail(Code::kInvalidArgument,
                "unknown membership transition " +
                    std::to_string(static_cast<unsigned>(change.transition)));
  }
  if (change.transition == ConfTransition::kAuto) {
    Result<ConfState> simple = ApplyItems(conf, change, /*enter_joint=*/false);
    // A refusal of an item does not depend on the mode, so there is nothing to try again.
    if (!simple || VotersChanged(conf.voters, simple->voters) <= 1) return simple;
  }
  if (conf.voters.empty()) {
    return Fail(Code::kInvalidArgument, "an empty configuration cannot become joint");
  }
  Result<ConfState> joint = ApplyItems(conf, change, /*enter_joint=*/true);
  if (joint) joint->auto_leave = change.transition != ConfTransition::kJointExplicit;
  return joint;
}

Status CheckIds(std::string_view name, const Ids& ids, MemberId next_member_id) {
  MemberId previous;
  for (MemberId id : ids) {
    if (id <= previous) return Fail(Code::kInvalidArgument, std::string(name) + " not ascending");
    if (id >= next_member_id) {
      return Fail(Code::kInvalidArgument,
                  std::string(name) + ": id " + Text(id) + " was never handed out");
    }
    previous = id;
  }
  return {};
}

Status CheckDisjoint(std::string_view what, const Ids& a, const Ids& b) {
  for (MemberId id : a) {
    if (Contains(b, id)) return Fail(Code::kInvalidArgument, Text(id) + std::string(what));
  }
  return {};
}

Status CheckLists(const ConfState& conf) {
  const std::pair<std::string_view, const Ids*> lists[] = {
      {"voters", &conf.voters},
      {"outgoing voters", &conf.voters_outgoing},
      {"learners", &conf.learners},
      {"next learners", &conf.learners_next},
  };
  for (const auto& [name, ids] : lists) {
    if (Status s = CheckIds(name, *ids, conf.next_member_id); !s) return s;
  }
  for (const Ids* ids : {&conf.voters, &conf.voters_outgoing}) {
    if (ids->size() > kVotersMax) {
      return Fail(Code::kTooLarge, std::to_string(ids->size()) + " voters, the limit is " +
                                       std::to_string(kVotersMax));
    }
  }
  return {};
}

}  // namespace

Result<ConfState> ApplyConfChange(const ConfState& conf, const ConfChange& change, Index index) {
  if (Status s = CheckConfState(conf); !s) return std::unexpected(s.error());
  const bool leave = change.changes.empty();
  if (conf.joint() != leave) {
    return Fail(Code::kInvalidArgument, leave ? "not in a joint configuration, nothing to leave"
                                              : "the joint configuration must be left first");
  }
  Result<ConfState> next = leave ? LeaveJoint(conf) : ChangeVoters(conf, change);
  if (!next) return next;
  if (next->voters.empty()) return Fail(Code::kInvalidArgument, "removed all voters");
  next->index = index;
  if (Status s = CheckConfState(*next); !s) return std::unexpected(s.error());
  ARIMA_ASSERT(next->next_member_id >= conf.next_member_id, next->next_member_id);
  return next;
}

Status CheckConfState(const ConfState& conf) {
  if (Status s = CheckLists(conf); !s) return s;
  if (conf.voters.empty() && !conf.members.empty()) {
    return Fail(Code::kInvalidArgument, "members but no voters");
  }
  const std::string_view both = " is voter and learner";
  for (const Ids* learners : {&conf.learners, &conf.learners_next}) {
    if (Status s = CheckDisjoint(both, *learners, conf.voters); !s) return s;
  }
  if (Status s = CheckDisjoint(both, conf.learners, conf.voters_outgoing); !s) return s;
  if (!std::includes(conf.voters_outgoing.begin(), conf.voters_outgoing.end(),
                     conf.learners_next.begin(), conf.learners_next.end())) {
    return Fail(Code::kInvalidArgument, "a next learner is not an outgoing voter");
  }
  if (!conf.joint() && conf.auto_leave) {
    return Fail(Code::kInvalidArgument, "auto leave outside of a joint configuration");
  }
  size_t listed = 0;
  for (const auto& [id, info] : conf.members) {
    if (info.id != id) return Fail(Code::kInvalidArgument, "member stored under another id");
    if (!IsMember(conf, id)) return Fail(Code::kInvalidArgument, Text(id) + " is in no list");
    if (Status s = CheckMember(info); !s) return s;
    ++listed;
  }
  Ids ids;
  for (const Ids* list : {&conf.voters, &conf.voters_outgoing, &conf.learners}) {
    for (MemberId id : *list) Insert(&ids, id);
  }
  if (ids.size() != listed) return Fail(Code::kInvalidArgument, "an id without member info");
  return {};
}

}  // namespace arima::raft
