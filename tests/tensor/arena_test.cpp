#include "cpu/arena.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace fer::detail {
namespace {

constexpr std::size_t kMiB = 1 << 20;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool merges = false;  // blocks are malloc's
#else
constexpr bool merges = true;
#endif

TEST_CASE("arena: freed neighbours serve a request of their size together, in any order of freeing") {
  if (!merges) return;
  const std::size_t size = 700 * kMiB;  // no hole that others left is as large
  for (const bool first_last : {false, true}) {
    char* whole = static_cast<char*>(allocate_block(size));
    free_block(whole, size);
    char* a = static_cast<char*>(allocate_block(size / 4));
    char* b = static_cast<char*>(allocate_block(size / 4));
    char* c = static_cast<char*>(allocate_block(size / 2));
    CHECK(c == whole + size / 2);
    free_block(b, size / 4);
    free_block(first_last ? c : a, first_last ? size / 2 : size / 4);
    free_block(first_last ? a : c, first_last ? size / 4 : size / 2);
    CHECK(allocate_block(size) == whole);
    free_block(whole, size);
  }
}

TEST_CASE("arena: touched memory is reused before untouched addresses") {
  if (!merges) return;
  rlimit addresses{};
  getrlimit(RLIMIT_AS, &addresses);
  if (addresses.rlim_cur != RLIM_INFINITY) {
    MESSAGE("skipped: where addresses are limited, stretches are short");
    return;
  }
  const std::size_t size = 900 * kMiB;  // of addresses: nothing is written
  char* used = static_cast<char*>(allocate_block(size));
  char* behind = static_cast<char*>(allocate_block(size / 2));
  free_block(used, size);
  char* again = static_cast<char*>(allocate_block(size / 16));
  CHECK(again >= used);
  CHECK(again < used + size);
  free_block(again, size / 16);
  free_block(behind, size / 2);
}

TEST_CASE("arena: blocks are aligned, keep what is written and never overlap") {
  struct Block {
    unsigned char* data;
    std::size_t size;
    unsigned char mark;
  };
  std::vector<Block> blocks;
  std::minstd_rand random(1);
  const auto check_and_free = [&](std::size_t i) {
    const Block block = blocks[i];
    CHECK(block.data[0] == block.mark);
    CHECK(block.data[block.size / 2] == block.mark);
    CHECK(block.data[block.size - 1] == block.mark);
    free_block(block.data, block.size);
    blocks[i] = blocks.back();
    blocks.pop_back();
  };
  for (int step = 0; step < 2000; ++step) {
    if (blocks.size() > 40 || (!blocks.empty() && random() % 3 == 0))
      check_and_free(random() % blocks.size());
    const std::size_t size = 1 + random() % (std::size_t{1} << (8 + random() % 12));
    auto* data = static_cast<unsigned char*>(allocate_block(size));
    REQUIRE(data != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
    blocks.push_back({data, size, static_cast<unsigned char>(step)});
    std::memset(data, step & 0xFF, size);
  }
  while (!blocks.empty()) check_and_free(blocks.size() - 1);
}

}  // namespace
}  // namespace fer::detail
