# cmake --install: headers, libraries, the program, and a package for find_package(fer).
include(CMakePackageConfigHelpers)

add_library(fer_all INTERFACE)
set_target_properties(fer_all PROPERTIES EXPORT_NAME fer)
target_link_libraries(fer_all INTERFACE fer_report)
add_library(fer::fer ALIAS fer_all)

get_property(installed GLOBAL PROPERTY FER_INSTALLED_TARGETS)
install(TARGETS ${installed} fer_options fer_all EXPORT ferTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS fer RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES weights/small-ferplus.safetensors docs/model-card.md DESTINATION ${CMAKE_INSTALL_DATADIR}/fer OPTIONAL)
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/fer)
install(DIRECTORY include/fer DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT ferTargets NAMESPACE fer:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fer)
configure_package_config_file(cmake/ferConfig.cmake.in ${PROJECT_BINARY_DIR}/ferConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fer)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ferConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ferConfig.cmake ${PROJECT_BINARY_DIR}/ferConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fer)
