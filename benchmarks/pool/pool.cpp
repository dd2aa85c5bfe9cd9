// How fast is the pool, and how lean? Blocks of mixed sizes that come and go, big blocks, standard containers, and what
// real programs allocate, each against the peers that this machine has, all through memory_resource*. Every run is a
// process of its own, which has one allocator only.
//
//     benchmarks/run pool [churn] [containers] [big] [traces]
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <random>
#include <string>
#include <vector>

#include "churn.h"
#include "containers.h"
#include "driver.h"
#include "peers.h"
import buffers;

namespace {

// Who takes part.
const std::vector<bench::contender> everybody{
    {"pool_resource", bench::made<buffers::pool_resource>, false},
    {"std unsynchronized_pool_resource", bench::made<std::pmr::unsynchronized_pool_resource>},
    {"Boost unsynchronized_pool_resource", bench::boost_unsynchronized},
    {"foonathan memory_pool_collection", bench::foonathan_pools},
    {"new/delete (glibc)", std::pmr::new_delete_resource},
    {"mimalloc", bench::mimalloc::make},
    {"jemalloc", bench::jemalloc::make},
    {"tbbmalloc", bench::tbbmalloc::make},
};

using making = std::pmr::memory_resource* (*)();

// --- Churn: a random block goes, another of a random size comes ------------------------------------------------------

bench::outcome churn_alone(const bench::churn& work, making make, int passes) {
  bench::pages<void*> slots(work.live());
  const bench::residence resident;
  std::pmr::memory_resource* const memory = make();
  if (!memory) return bench::absent;
  work.fill(memory, slots);
  const double seconds = bench::timed([&] { work.pass(memory, slots); }, 1, passes);
  const double peak = resident.peak();
  work.empty(memory, slots);
  return {seconds, peak, resident.now()};
}

void churning(const std::string& sizes, std::uint32_t most, std::size_t live, double at_most) {
  const bool few = live <= 10'000;
  const std::size_t events = few ? 1 << 16 : 1 << 19;
  const int passes = few ? 8 : 1;
  const bench::churn work(1, live, events, {16, static_cast<double>(most) + 1});
  bench::comparison contest(
      "W3: " + sizes + ", " + std::to_string(live) + " live; free a random one, allocate, touch the first word", events,
      7);
  contest.ours_alone("(the loop alone)", [&] {
    bench::pages<void*> slots(live);
    bench::pages<char[64]> blocks(live);
    for (std::size_t i = 0; i < live; ++i) slots[i] = blocks[i];
    return bench::outcome{bench::timed([&] { work.pass_alone(slots); }, 1, passes)};
  });
  bench::enter(contest, everybody, [&](making make) { return churn_alone(work, make, passes); });
  contest.measure();
  contest.target("pool_resource / best peer", contest.of("pool_resource") / contest.best_peer(), at_most);
}

// --- Big blocks: 8 at a time, one byte of each page touched ----------------------------------------------------------

constexpr std::size_t page = 4096;

void touch_pages(void* block, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += page) static_cast<volatile char*>(block)[i] = 1;
}

void big_blocks(const std::string& question, std::size_t live, const bench::pages<bench::replacement>& events,
                bool with_targets) {
  std::size_t pages = 0;
  for (const bench::replacement& e : events) pages += (e.bytes + page - 1) / page;
  bench::comparison contest(question + "; per page", pages, 7);
  bench::enter(contest, everybody, [&](making make) -> bench::outcome {
    struct block {
      void* at;
      std::size_t bytes;
    };
    bench::pages<block> slots(live);
    const bench::residence resident;
    std::pmr::memory_resource* const memory = make();
    if (!memory) return bench::absent;
    const auto give_back = [&](block& b) {
      if (b.at) memory->deallocate(b.at, b.bytes);
      b = {};
    };
    const double seconds = bench::timed(
        [&] {
          for (const bench::replacement& e : events) {
            give_back(slots[e.slot]);
            slots[e.slot] = {memory->allocate(e.bytes), e.bytes};
            touch_pages(slots[e.slot].at, e.bytes);
          }
          for (block& b : slots) give_back(b);
        },
        1, 1);
    return {seconds, resident.peak(), resident.now()};
  });
  contest.measure();
  if (!with_targets) return;
  contest.target("pool_resource / best peer", contest.of("pool_resource") / contest.best_peer(), 0.60);
  contest.target("pool_resource's resident memory / mimalloc's",
                 contest.peak_of("pool_resource") / contest.peak_of("mimalloc"), 1.5);
}

void big() {
  std::mt19937_64 random{2};
  bench::log_uniform sizes(64 << 10, 32 << 20);
  bench::pages<bench::replacement> mixed(300);
  for (bench::replacement& e : mixed) e = {static_cast<std::uint32_t>(random() % 8), 0, sizes(random)};
  big_blocks("blocks of 64 KiB to 32 MiB, 8 live; free a random one, allocate, touch every page", 8, mixed, true);
  for (const std::uint32_t bytes : {64u << 10, 1u << 20, 32u << 20}) {
    bench::pages<bench::replacement> same((256u << 20) / bytes);
    for (bench::replacement& e : same) e = {0, 0, bytes};
    big_blocks("one block of " + std::to_string(bytes >> 10) + " KiB after the other, every page touched", 1, same,
               false);
  }
}

// --- Containers on a resource that lives longer than they do ---------------------------------------------------------

void containers() {
  constexpr struct {
    const char* name;
    void (*build)(std::pmr::memory_resource*);
  } kinds[] = {{"unordered_map", bench::containers::build_unordered_map},
               {"map", bench::containers::build_map},
               {"list", bench::containers::build_list},
               {"vector<string>", bench::containers::build_strings}};
  std::map<std::string, double> products;  // of a contestant's four times
  for (const auto& kind : kinds) {
    bench::comparison contest(
        std::string("W5: std::pmr::") + kind.name + " of 100 000 elements, built and destroyed; per element",
        bench::containers::elements, 7);
    bench::enter(contest, everybody, [&](making make) -> bench::outcome {
      const bench::residence resident;
      std::pmr::memory_resource* const memory = make();
      if (!memory) return bench::absent;
      const double seconds = bench::timed([&] { kind.build(memory); });
      return {seconds, resident.peak(), resident.now()};
    });
    contest.measure();
    for (const bench::contestant& c : contest.all()) products.try_emplace(c.name, 1.0).first->second *= c.median;
    contest.target("pool_resource / best peer", contest.of("pool_resource") / contest.best_peer(), 1.05);
  }
  std::printf("\nW5: geometric means of the four\n");
  double best = 0;
  for (const auto& [name, product] : products) {
    std::printf("    %-48s %10.2f ns\n", name.c_str(), std::pow(product, 0.25));
    if (name != "pool_resource" && (best == 0 || product < best)) best = product;
  }
  bench::comparison("", 1).target("pool_resource / best peer", std::pow(products["pool_resource"] / best, 0.25), 0.90);
}

// --- What real programs allocate -------------------------------------------------------------------------------------

std::pmr::memory_resource* pool_over_huge_pages() {
  static buffers::page_resource pages{{.huge_pages = true}};
  return new buffers::pool_resource{{}, &pages};
}

void traces() {
  std::vector<bench::contender> contenders = everybody;
  contenders.insert(contenders.begin() + 1, {"pool_resource over huge pages", pool_over_huge_pages, false});
  const char* const pmr_peers[] = {"std unsynchronized_pool_resource", "Boost unsynchronized_pool_resource"};
  const std::vector<std::string> programs{"python", "clang", "sqlite", "perl"};
  std::map<std::string, double> ratios, first_ratios;  // products of ours / theirs
  int measured = 0;
  for (const std::string& program : programs) {
    const std::string path = std::string(BENCH_TRACES "/") + program + ".trace";
    if (access(path.c_str(), R_OK) != 0) {
      std::printf("\nW7: no trace of %s\n", program.c_str());
      continue;
    }
    const buffers::replayer recorded(path);
    const buffers::replay_summary& known = recorded.summary();
    const std::size_t events = known.allocations + known.deallocations;
    const auto live_peak = static_cast<double>(known.peak_bytes);
    char question[200];
    std::snprintf(question, sizeof question,
                  "W7: what %s allocates: %zu events, at most %zu blocks and %.1f MiB; per event", program.c_str(),
                  events, known.peak_blocks, live_peak / (1 << 20));
    bench::comparison contest(question, events, 5);
    contest.live_peak(live_peak);
    bench::enter(contest, contenders, [&](making make) -> bench::outcome {
      const bench::residence resident;
      std::pmr::memory_resource* const memory = make();
      if (!memory) return bench::absent;
      const auto run = [&] { recorded.run(*memory, {.check_overlap = false}); };
      const double first = bench::timed(run, 0, 1), first_peak = resident.peak();
      const double seconds = bench::timed(run, 0, 3);
      return {seconds, resident.peak(), resident.now(), first, first_peak};
    });
    contest.measure();
    if (const auto* const ours = contest.find("pool_resource")) {
      contest.target("pool_resource's resident memory / most live, as the program ran once",
                     ours->first_peak / live_peak, 1.30);
      contest.target("... and when it has run four times in one pool", ours->peak / live_peak, 1.30);
    }
    ++measured;
    for (const bench::contestant& c : contest.all()) {
      ratios.try_emplace(c.name, 1.0).first->second *= contest.of("pool_resource") / c.median;
      if (const auto* const ours = contest.find("pool_resource"))
        first_ratios.try_emplace(c.name, 1.0).first->second *= ours->first / c.first;
    }
  }
  if (measured == 0) return;
  std::printf("\nW7: geometric means of all the traces\n");
  const bench::comparison means("", 1);
  const auto mean = [&](std::map<std::string, double>& products, const std::string& name) {
    return std::pow(products[name], 1.0 / measured);
  };
  means.target("pool_resource / mimalloc", mean(ratios, "mimalloc"), 1.0);
  for (const char* const peer : pmr_peers)
    means.target(std::string("pool_resource / ") + peer, mean(ratios, peer), 0.80);
  means.target("pool_resource / mimalloc, the first time", mean(first_ratios, "mimalloc"), 1.0);
  for (const auto& [name, product] : first_ratios)
    if (name != "pool_resource" && name != "mimalloc")
      std::printf("    the first time, pool_resource / %-40s %.2f\n", name.c_str(), std::pow(product, 1.0 / measured));
}

}  // namespace

int main(int argc, char** argv) {
  bench::make_room_for_libraries(argv);
  bench::pin_to_one_processor();
  const bench::arguments arguments{argc, argv};
  arguments.ask("churn", [] {
    churning("16 B to 1 KiB", 1 << 10, 1'000, 0.85);
    churning("16 B to 64 KiB", 64 << 10, 1'000, 0.85);
    churning("16 B to 1 KiB", 1 << 10, 100'000, 0.95);
    churning("16 B to 64 KiB", 64 << 10, 100'000, 0.80);
  });
  arguments.ask("containers", containers);
  arguments.ask("big", big);
  arguments.ask("traces", traces);
}
