#include "simserver/machine.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/thread.h"
#include "kv/visible_digest.h"
#include "node/logger.h"

namespace arima::simserver {
namespace {

constexpr uint64_t kHandOverMs = 1000;
constexpr const char* kVolume = "/data";
constexpr const char* kLogDir = "/data/wal";
// What a node says only of bytes that are not what was written.
constexpr std::string_view kDamageEvents[] = {"log_damaged",        "log_restarted",
                                              "database_set_aside", "database_damaged",
                                              "checkpoint_damaged", "entry_damaged_in_memory"};

}  // namespace

// The node's log, in virtual time, and the end of its process.
class Machine::Journal final : public node::Logger {
 public:
  explicit Journal(Machine* machine) : machine_(*machine) {}

  void Log(node::LogLevel level, std::string_view event, std::string_view message,
           std::initializer_list<node::LogField> fields) override {
    std::string line(event);
    line.append(": ").append(message);
    for (const node::LogField& field : fields) {
      line.append(" ").append(field.name).append("=");
      if (const auto* number = std::get_if<uint64_t>(&field.value)) {
        line.append(std::to_string(*number));
      } else {
        line.append(std::get<std::string>(field.value));
      }
    }
    machine_.OnLine(level, event, line);
  }

 protected:
  [[noreturn]] void End() override {
    if (!machine_.disk_.failed_a_sync() && !machine_.world_.scheduler->Dying()) {
      machine_.world_.verdict->Fail("no process ends by itself", last_line_);
    }
    machine_.world_.scheduler->ExitProcess();
  }

 private:
  friend class Machine;
  Machine& machine_;
  std::string last_line_;
};

uint64_t Machine::MachineClock::NowNs() {
  const uint64_t true_ns = scheduler->now_ns();
  const int64_t drift = static_cast<int64_t>(true_ns / 1'000'000) * ppm;
  return offset_ns + true_ns + static_cast<uint64_t>(drift);
}

Machine::Machine(const World& world, MachineId id, uint64_t seed)
    : world_(world),
      id_(id),
      name_("n" + std::to_string(id + 1)),
      address_(name_ + ":7000"),
      disk_(world.scheduler, seed, world.swarm->disk),
      databases_(&disk_, world.swarm->database, this),
      network_(world.network->PlugIn(id)),
      log_(std::make_unique<Journal>(this)) {
  SeededRandom random(seed ^ 0x636c6f636b);
  clock_.scheduler = world.scheduler;
  clock_.offset_ns = random.Below(1'000'000'000'000) + 1'000'000'000;
  if (world.swarm->clock_ppm_max > 0) {
    const auto range = static_cast<uint64_t>(world.swarm->clock_ppm_max);
    clock_.ppm = static_cast<int64_t>(random.Below(2 * range + 1)) - world.swarm->clock_ppm_max;
  }
  world.network->AddAddress(address_, id);
}

Machine::~Machine() { Kill(/*power_loss=*/false); }

node::NodeOptions Machine::OptionsNow() {
  node::NodeOptions options = world_.swarm->node;
  options.name = name_;
  options.volume_dir = kVolume;
  options.raft_listen_host = name_;
  options.raft_port = port_;
  options.raft_address = address_;
  options.raft_address_given = moved_;
  options.http_address = name_ + ":80";
  options.replica.storage.databases = &databases_;
  options.replica.loop.observer = this;
  options.network = network_.get();
  return options;
}

// ---------------------------------------------------------------- life

void Machine::Start() {
  if (state_ != State::kDown) return;
  Forget();
  world_.network->Up(id_);
  disk_.ForgetFailures();
  state_ = State::kStarting;
  stop_ = false;
  running_ = true;
  ++life_;
  OnLine(node::LogLevel::kInfo, "sim_start", "sim_start: life " + std::to_string(life_));
  process_ = world_.scheduler->StartProcess([this] { Main(); }, [this] { Died(); });
}

void Machine::Main() {
  // Older than any thread of the node: when the process is killed, these go last, so that what they
  // hold of the node outlives its threads.
  Thread second([this] { Serve(); });
  auto node = node::Node::Start(OptionsNow(), &disk_, &clock_, log_.get());
  if (!node) {
    const Error& error = node.error();
    OnLine(node::LogLevel::kError, "sim_start_failed", "sim_start_failed: " + error.ToString());
    const bool excused = error.code == Code::kDiskFull || disk_.failed_a_sync();
    if (!excused) world_.verdict->Fail("I16 a node starts", name_ + ": " + error.ToString());
    stop_ = true;
    world_.scheduler->WakeAll(&requests_);
    second.Join();
    state_ = State::kDown;
    world_.scheduler->After(0, [this, life = life_] {
      if (life == life_ && state_ == State::kDown) world_.gone(this);
    });
    return;
  }
  node_ = std::move(*node);
  state_ = State::kUp;
  Serve();
  second.Join();
  node_->HandOverLeadership(kHandOverMs);
  node_->Stop();
  node_.reset();
  state_ = State::kDown;
  OnLine(node::LogLevel::kInfo, "sim_stopped", "sim_stopped");
}

void Machine::Serve() {
  while (!stop_) {
    if (requests_.empty()) {
      world_.scheduler->Park(&requests_, Runtime::kForever);
      continue;
    }
    Request request = std::move(requests_.front());
    requests_.pop_front();
    request(*node_);
  }
}

void Machine::Forget() {
  running_ = false;
  paused_ = false;
  requests_.clear();
  node_.reset();
  role_ = raft::Role::kFollower;
  state_ = State::kDown;
}

void Machine::Kill(bool power_loss) {
  if (!running_ && !power_loss) return;
  OnLine(node::LogLevel::kInfo, "sim_kill", power_loss ? "sim_kill: power loss" : "sim_kill");
  world_.network->Down(id_, power_loss);
  if (running_) world_.scheduler->Kill(process_);
  Forget();
  // Also what a process that is gone has left in the cache.
  if (power_loss) disk_.PowerLoss();
}

void Machine::Died() {
  OnLine(node::LogLevel::kInfo, "sim_died", "sim_died: the process ended itself");
  world_.network->Down(id_, /*silently=*/false);
  Forget();
  world_.gone(this);
}

void Machine::Stop() {
  if (state_ != State::kUp) return;
  OnLine(node::LogLevel::kInfo, "sim_stop", "sim_stop");
  state_ = State::kStopping;
  stop_ = true;
  world_.scheduler->WakeAll(&requests_);
}

void Machine::Pause() {
  if (!running_ || paused_) return;
  OnLine(node::LogLevel::kInfo, "sim_pause", "sim_pause");
  paused_ = true;
  world_.scheduler->Pause(process_);
}

void Machine::Continue() {
  if (!running_ || !paused_) return;
  OnLine(node::LogLevel::kInfo, "sim_continue", "sim_continue");
  paused_ = false;
  world_.scheduler->Continue(process_);
}

void Machine::Wipe() {
  OnLine(node::LogLevel::kInfo, "sim_wipe", "sim_wipe: the disk is empty");
  if (checker_ != nullptr) checker_->OnWiped(member_);
  disk_.Wipe();
  damaged_ = false;
  owed_.reset();
  flushed_dir_.clear();
  cluster_ = Uuid();
  member_ = raft::MemberId();
}

bool Machine::DamageLog() {
  if (!disk_.DamageLog(kLogDir)) return false;
  OnLine(node::LogLevel::kInfo, "sim_damage", "sim_damage: a bit of the log is wrong");
  damaged_ = true;
  world_.consensus->NoteDamage();
  return true;
}

void Machine::Move() {
  ++port_;
  moved_ = true;
  address_ = name_ + ":" + std::to_string(port_);
  world_.network->AddAddress(address_, id_);
}

bool Machine::Ask(Request request) {
  if (!up()) return false;
  requests_.push_back(std::move(request));
  world_.scheduler->WakeAll(&requests_);
  return true;
}

// ---------------------------------------------------------------- what is seen of it

void Machine::OnLine(node::LogLevel level, std::string_view event, const std::string& line) {
  log_->last_line_ = name_ + " " + line;
  // A leader says it also of another member, whose log was damaged.
  const bool regressed = event == node::kLogRegressionEvent && !world_.consensus->AnythingDamaged();
  if (event == node::kSafetyViolationEvent || regressed) {
    world_.verdict->Fail("the core finds nothing impossible", log_->last_line_);
  }
  if (event == node::kSnapshotInstalledEvent) ++snapshots_installed_;
  if (std::ranges::find(kDamageEvents, event) != std::end(kDamageEvents)) {
    ++damages_found_;
    if (!damaged_) world_.verdict->Fail("I16 damage is real", log_->last_line_);
  }
  if (!world_.trace) return;
  const std::string_view mark = level == node::LogLevel::kError  ? " E "
                                : level == node::LogLevel::kWarn ? " W "
                                                                 : "   ";
  world_.trace(name_ + std::string(mark) + line);
}

void Machine::OnOpened(const node::Identity& identity, const raft::CoreStatus& status) {
  if (world_.scheduler->Dying()) return;
  cluster_ = identity.cluster_id;
  if (owed_ && *owed_ != cluster_) {
    world_.verdict->Fail("a join discards nothing",
                         name_ + " has given up its data, which held an acknowledged write");
  }
  member_ = identity.member_id;
  identity_state_ = identity.state;
  handed_out_ = status.applying.value;
  role_ = status.soft.role;
  term_ = status.hard_state.term;
  written_index_ = status.applied.value;
  // A damaged node runs on an empty stand-in, and takes part in nothing.
  checker_ =
      identity.state == node::IdentityState::kDamaged ? nullptr : &world_.consensus->Of(cluster_);
  if (checker_ == nullptr) return;
  checker_->OnOpened(member_, status, disk_.ReadLog(kLogDir));
  if (opened_index_ == status.applied.value && opened_index_ > raft::kFirstSnapshotIndex.value) {
    world_.consensus->OnState(cluster_, opened_index_, opened_digest_);
  }
}

void Machine::OnOutput(const raft::Output& out) {
  if (world_.scheduler->Dying()) return;
  if (out.soft) {
    role_ = out.soft->role;
    term_ = out.soft->term;
    world_.scheduler->Mix(term_.value << 8 | static_cast<uint64_t>(role_));
  }
  for (const raft::ApplyItem& item : out.apply) {
    const uint64_t index = item.entry.index.value;
    if (index != handed_out_ + 1) {
      world_.verdict->Fail("D4 entries are applied in order",
                           name_ + " applies index " + std::to_string(index) + " after " +
                               std::to_string(handed_out_));
    }
    handed_out_ = index;
    world_.scheduler->Mix(index << 32 | item.entry.checksum);
  }
  if (checker_ != nullptr) checker_->OnOutput(member_, out);
}

void Machine::OnDurable(uint64_t seq, std::span<const raft::Message> released) {
  if (world_.scheduler->Dying() || checker_ == nullptr) return;
  checker_->OnWritten(member_, seq, raft::Index(flushed_));
  for (const raft::Message& message : released) checker_->OnReleased(message);
}

void Machine::OnWritten(const kv::Engine& engine, uint64_t position) {
  if (world_.scheduler->Dying()) return;
  const bool moved = position != written_index_;
  written_index_ = position;
  // What a new database begins with is written before it is known whose it will be.
  if (!moved || position <= raft::kFirstSnapshotIndex.value) return;
  if (!world_.consensus->ComparesStates(position)) return;
  auto digest = kv::VisibleDigest(engine);
  if (!digest) return world_.verdict->Fail("I14 equal states", digest.error().ToString());
  world_.consensus->OnState(cluster_, position, *digest);
}

void Machine::OnFlushed(const std::string& dir, uint64_t position) {
  flushed_dir_ = dir;
  flushed_ = position;
}

void Machine::OnOpened(const kv::Engine& engine, const std::string& dir, uint64_t position) {
  if (dir == flushed_dir_ && position < flushed_) {
    world_.verdict->Fail("I8 what was durable stays",
                         name_ + " opens " + dir + " at index " + std::to_string(position) +
                             ", it had been durable up to " + std::to_string(flushed_));
  }
  auto digest = kv::VisibleDigest(engine);
  if (!digest) return world_.verdict->Fail("I18 snapshots", digest.error().ToString());
  opened_index_ = position;
  opened_digest_ = *digest;
}

}  // namespace arima::simserver
