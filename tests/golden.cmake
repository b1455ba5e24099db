# Golden tests: `ctest -L golden` checks every file of $FER_GOLDEN_DIR (or of ../shared/golden). Each
# tests/golden/<name>_golden_test.cpp is a program and a CTest test of its own; all are skipped, visibly, where there
# are no golden files.

file(GLOB golden_tests CONFIGURE_DEPENDS golden/*_golden_test.cpp)
foreach(source IN LISTS golden_tests)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "_golden_test" "" name ${name})
  set(sources ${source} golden/main.cpp)
  set(floors fer_training)
  if(name STREQUAL "ops")
    list(APPEND sources golden/op_case.cpp golden/op_runners.cpp)
    set(floors fer_autograd fer_formats)
  elseif(name STREQUAL "files")
    set(floors "")
  endif()
  add_executable(test_golden_${name} ${sources})
  target_link_libraries(test_golden_${name} PRIVATE ${floors} doctest::doctest fer_build_flags fer_test_paths)
  add_test(NAME golden_${name} COMMAND test_golden_${name})
  set_tests_properties(golden_${name} PROPERTIES LABELS golden SKIP_RETURN_CODE 77
                       ENVIRONMENT OMP_WAIT_POLICY=passive)
endforeach()
