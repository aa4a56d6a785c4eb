#include "node/log_damage.h"

#include <algorithm>
#include <utility>

#include "codec/conf_codec.h"
#include "node/storage.h"
#include "wal/salvage.h"

namespace arima::node {
namespace {

using wal::SalvageMode;

std::string Aside(const std::string& path) {
  return path.empty() ? "" : "; the damaged files are kept in " + path;
}

// The database's own configuration counts too: it cannot be newer than the identity, but it may be
// that the identity is of a release that said less.
bool HasOtherVoters(const Identity& identity, const kv::AppliedState& applied) {
  if (identity.state != IdentityState::kStandalone) return true;
  Result<raft::ConfState> conf = codec::DecodeConfState(applied.conf);
  return !conf || OtherVotersIn(*conf, identity.member_id);
}

Status Replace(DataDir& dir, const wal::Salvaged& salvaged, LogLevel level, std::string_view event,
               const std::string& text, Logger* logger) {
  Result<std::string> aside = dir.ReplaceLog();
  if (!aside) {
    return Fail(aside.error().code,
                "the damaged raft log could not be replaced: " + aside.error().message);
  }
  logger->Log(level, event, text + Aside(*aside),
              {{"first_index", salvaged.base.index.value + 1},
               {"last_index", salvaged.last.value},
               {"term", salvaged.hard_state.term.value}});
  return {};
}

// Nobody else has what this node lost: only the operator may give it up.
Status MendAlone(DataDir& dir, const wal::WalOptions& options, raft::EntryId base,
                 const DamagedLog& damaged, Logger* logger) {
  const std::string target = damaged.accept_loss ? dir.part_log_path() : std::string();
  auto kept = wal::SalvageLog(dir.env(), options, base, SalvageMode::kPrefix, target);
  if (!kept) {
    return Fail(kept.error().code,
                damaged.problem + "; what is left could not be read: " + kept.error().message);
  }
  const std::string end = std::to_string(kept->last.value);
  if (!damaged.accept_loss) {
    return Fail(Code::kCorruption,
                "raft log is corrupt: " + damaged.problem +
                    "; nothing was changed. This node is the only voter, so nobody else has what "
                    "is lost. Next step: restore a backup; or start once with --accept-data-loss, "
                    "which gives up everything behind entry " +
                    end + " (the database holds all up to " +
                    std::to_string(damaged.applied.index) +
                    ") and keeps the damaged files as wal.bad-<n>");
  }
  return Replace(dir, *kept, LogLevel::kError, "data_loss_accepted",
                 "--accept-data-loss: everything behind entry " + end +
                     " was given up, because: " + damaged.problem,
                 logger);
}

}  // namespace

bool OtherVotersIn(const raft::ConfState& conf, raft::MemberId self) {
  auto other = [&](raft::MemberId id) { return id != self; };
  return std::ranges::any_of(conf.voters, other) ||
         std::ranges::any_of(conf.voters_outgoing, other);
}

MendedLog MendLog(DataDir& dir, const Identity& identity, const StorageOptions& storage,
                  const DamagedLog& damaged, Logger* logger) {
  const raft::EntryId base{raft::Term(damaged.applied.term), raft::Index(damaged.applied.index)};
  const wal::WalOptions options = WalOptionsFor(dir, identity, storage);
  auto tail = wal::SalvageLog(dir.env(), options, base, SalvageMode::kTail, dir.part_log_path());
  if (tail) {
    return {Replace(dir, *tail, LogLevel::kWarn, "log_restarted",
                    "the raft log is damaged where the database holds everything, and begins anew "
                    "behind entry " +
                        std::to_string(base.index.value) + ": " + damaged.problem,
                    logger),
            false};
  }
  if (tail.error().code != Code::kCorruption) return {std::unexpected(tail.error()), false};
  if (HasOtherVoters(identity, damaged.applied)) {
    if (damaged.accept_loss) {
      logger->Warn("accept_data_loss_ignored",
                   "--accept-data-loss has no effect in a cluster with other voters: they have "
                   "what is lost, and replace this node");
    }
    return {Fail(Code::kCorruption, "raft log is corrupt: " + damaged.problem), true};
  }
  return {MendAlone(dir, options, base, damaged, logger), false};
}

Status MarkDamaged(DataDir& dir, Identity* identity, const std::string& what,
                   std::string_view conf) {
  Identity damaged = *identity;
  damaged.state = IdentityState::kDamaged;
  damaged.damage = what.substr(0, kDamageTextBytesMax);
  if (Result<raft::ConfState> newer = codec::DecodeConfState(conf); newer && !conf.empty()) {
    Result<raft::ConfState> seed = codec::DecodeConfState(damaged.seed_conf);
    bool better = damaged.seed_conf.empty() || !seed || newer->index > seed->index;
    if (better) damaged.seed_conf = conf;
  }
  if (Status written = dir.WriteIdentity(&damaged); !written) return written;
  *identity = std::move(damaged);
  return {};
}

std::string DamageAdvice(const Identity& identity) {
  if (identity.state != IdentityState::kDamaged) return {};
  return "this node lost raft log that it had acknowledged (" + identity.damage +
         "); it serves no data and takes no part in votes or replication. Next step: none while "
         "the other voters are a majority, their leader replaces it under a new member id; until "
         "then use another node";
}

StorageOptions StandInStorage(const StorageOptions& storage) {
  StorageOptions options;
  options.wal_segment_bytes = 1 << 20;
  options.write_buffer_bytes = 1 << 20;
  options.block_cache_bytes = 1 << 20;
  options.recent_keys_bytes = 1 << 20;
  options.databases = storage.databases;
  return options;
}

Result<std::unique_ptr<DataDir>> OpenStandIn(DataDir& dir, Identity* identity,
                                             const StorageOptions& storage, Logger* logger) {
  const std::string path = dir.stand_in_path();
  if (Status gone = env::RemoveTree(dir.env(), path); !gone) return std::unexpected(gone.error());
  auto stand_in = DataDir::Open(&dir.env(), path);
  if (!stand_in) return stand_in;
  identity->data_ready = false;
  if (Status made = CreateData(**stand_in, identity, StandInStorage(storage), logger); !made) {
    return std::unexpected(made.error());
  }
  return stand_in;
}

}  // namespace arima::node
