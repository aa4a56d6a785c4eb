// One-line texts of the core's values, for traces, golden scripts and logs. Stable: golden files
// depend on them. Positions are written term/index, e.g. 2/17. Pure functions, any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "raft/core.h"

namespace arima::raft {

std::string Describe(EntryId id);                      // 2/17
std::string Describe(const Entry& entry);              // 2/17 "text"  |  2/17 noop
std::string Describe(std::span<const Entry> entries);  // [2/17 noop, 2/18 "text"]
std::string Describe(std::span<const MemberId> ids);   // (1 2 3)
std::string Describe(const HardState& state);          // term=2 vote=1 commit=16
std::string Describe(const SoftState& soft);           // leader term=2 leader=1
std::string Describe(const ConfState& conf);           // voters=(1 2)&&(1) learners=(3) ...
std::string Describe(const ConfChange& change);        // implicit v2 l3 r1  |  leave
std::string Describe(const SnapshotMeta& snapshot);    // 1/11 voters=(1 2)
std::string Describe(const Message& message);          // 1->2 App term=2 prev=1/11 ...
std::string Describe(const Event& event);              // became-leader
std::string Describe(const PeerStatus& peer);          // 2: replicate match=11 next=12 ...

std::string_view EventKindName(EventKind kind);           // "became-leader", ...
std::string_view ProgressStateName(ProgressState state);  // "probe", ...

}  // namespace arima::raft
