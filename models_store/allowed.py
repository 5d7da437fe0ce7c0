"""The exact names a model's pickle may refer to: what the zoo's trained models need, and nothing else.

A new algorithm that needs another name fails the tests until the name is here. Add only classes and functions
that do no harm whatever they are called with: an unpickler calls them with what the pickle says.
"""

ALLOWED = frozenset(
    {
        ("builtins", "float"),
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("learning.history", "LapHistory"),
        ("learning.intervals", "ResidualWindow"),
        ("learning.lap_time", "LapTimeContext"),
        ("learning.lap_time", "LapTimeModel"),
        ("learning.mixture", "ExpertMixture"),
        ("learning.model", "ContextKey"),
        ("learning.references", "References"),
        ("learning.residual", "ResidualRegressor"),
        ("learning.scores", "PartScore"),
        ("learning.scores", "Score"),
        ("learning.sectors", "Sector"),
        ("learning.sectors", "SectorContext"),
        ("learning.sectors", "SectorModel"),
        ("learning.setup_surface", "SetupSurface"),
        ("learning.setups", "SetupContext"),
        ("learning.setups", "SetupModel"),
        ("numpy", "dtype"),
        ("numpy._core.numeric", "_frombuffer"),
        ("river._river_rust.vectordict", "VectorDict"),
        ("river._river_rust.vectordict", "euclidean_distance_tuple"),
        ("river.compose.pipeline", "Pipeline"),
        ("river.linear_model.lin_reg", "LinearRegression"),
        ("river.neighbors.knn_regressor", "KNNRegressor"),
        ("river.neighbors.lazy", "LazySearch"),
        ("river.optim.initializers", "Zeros"),
        ("river.optim.losses", "Squared"),
        ("river.optim.schedulers", "Constant"),
        ("river.optim.sgd", "SGD"),
        ("river.preprocessing.scale", "StandardScaler"),
        ("river.stats.mean", "Mean"),
        ("river.stats.var", "Var"),
        ("river.tree.hoeffding_tree_regressor", "HoeffdingTreeRegressor"),
        ("river.tree.nodes.branch", "NumericBinaryBranch"),
        ("river.tree.nodes.htr_nodes", "LeafAdaptive"),
        ("river.tree.nodes.htr_nodes", "LeafMean"),
        ("river.tree.nodes.htr_nodes", "LeafModel"),
        ("river.tree.splitter.ebst_splitter", "EBSTNode"),
        ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_univariate"),
        ("river.tree.splitter.tebst_splitter", "TEBSTSplitter"),
    }
)
